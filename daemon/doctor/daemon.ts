// SPDX-License-Identifier: Apache-2.0
/** The running daemon: does one answer, is it as configured, and does TOA arrive? */
import type { Config } from '../config/config.ts';
import { ask, daemonPlace } from './ask.ts';
import { type Check, check, firstLine } from './check.ts';
import { arrivalChecks, readCounts } from './traffic.ts';

/** What we read of `/v1/status`. */
interface Status {
	readonly version: string;
	readonly pid: number;
	readonly started_at: string;
	readonly adopted: boolean;
	readonly accept_program: string;
	readonly trust: readonly string[];
	readonly profiles: readonly string[];
	readonly transparent: boolean;
	readonly sockopt: boolean;
	readonly config_reload: { readonly successful: boolean; readonly success_at: string };
}

/** `version` is of this command. */
export async function daemonChecks(config: Config, version: string): Promise<Check[]> {
	const place = daemonPlace(config);
	if (place === undefined) {
		return [check('daemon', 'Daemon', 'warn', 'cannot be asked: http.listen and http.socket are off')];
	}
	try {
		const status = readStatus(await ask(place, '/v1/status'));
		const counts = readCounts(await ask(place, '/metrics'));
		return [
			running(status, version),
			loaded(status, config),
			...arrivalChecks(counts, status.started_at, status.profiles),
		];
	} catch (error) {
		return [unanswered(place, error)];
	}
}

function readStatus(text: string): Status {
	const status = JSON.parse(text) as Partial<Status> | null;
	if (typeof status?.pid !== 'number' || status.config_reload === undefined || !Array.isArray(status.profiles)) {
		throw new Error('what answers there is not toascope');
	}
	return status as Status;
}

function unanswered(place: string, error: unknown): Check {
	const title = 'Daemon';
	const { code } = error as NodeJS.ErrnoException;
	if (code === 'ENOENT' || code === 'ECONNREFUSED') {
		return check('daemon', title, 'warn', `none answers at ${place}`, 'start it with: toascope run');
	}
	if (code === 'EACCES' || code === 'EPERM') {
		return check('daemon', title, 'warn', `may not use ${place}`, 'use sudo, or be of the group of the socket');
	}
	return check('daemon', title, 'warn', `${place}: ${firstLine(error)}`, 'its log says more: journalctl -u toascope');
}

function running(status: Status, version: string): Check {
	const { pid, started_at: since, accept_program: accept, adopted } = status;
	const counters = adopted ? ', with the counters of the one before' : '';
	const found = `running (pid ${pid}, ${status.version}) since ${since}${counters}; accepts seen by ${accept}`;
	if (status.version !== version) {
		return check(
			'daemon',
			'Daemon',
			'warn',
			found,
			`this command is ${version}: restart the daemon to have it run that`,
		);
	}
	const advice = 'connections that were opened before it was attached are not counted and cannot be looked up';
	return check('daemon', 'Daemon', 'ok', found, advice);
}

/** A file that was changed and not loaded is the mistake that one looks for longest. */
function loaded(status: Status, config: Config): Check {
	const title = 'Loaded configuration';
	const { successful, success_at: at } = status.config_reload;
	if (!successful) {
		const advice = 'the log says why; correct the file and send SIGHUP again';
		return check('reload', title, 'warn', `the last reload failed: what was loaded at ${at} is in force`, advice);
	}
	const differences = [
		same(
			status.trust,
			config.trust.map(({ text }) => text),
		)
			? ''
			: 'trust',
		same(
			status.profiles,
			config.profiles.map(({ name }) => name),
		)
			? ''
			: 'profiles',
		status.transparent === config.transparent.enabled ? '' : 'transparent',
		status.sockopt === config.sockopt ? '' : 'sockopt',
	].filter((key) => key !== '');
	if (differences.length === 0) return check('reload', title, 'ok', `loaded at ${at}`);
	const advice = `kill -HUP ${status.pid} loads the file; or it was started with another one (--config, TOASCOPE_*)`;
	return check('reload', title, 'warn', `differs from the file: ${differences.join(', ')}`, advice);
}

function same(a: readonly string[], b: readonly string[]): boolean {
	return a.length === b.length && a.every((each, at) => each === b[at]);
}
