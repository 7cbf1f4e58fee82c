// SPDX-License-Identifier: Apache-2.0
/** The running daemon: does one answer, and does it run with what its file says now? */
import { type Config, shown } from '../config/config.ts';
import { longForm } from '../config/environment.ts';
import { keys } from '../config/schema.ts';
import { kindOf, showPlace } from './ask.ts';
import { type Check, check, firstLine } from './check.ts';
import { whereLogIs } from './log_place.ts';
import type { Found, Status } from './status.ts';

const title = 'Daemon';

/** `version` is of this command. Undefined: it is to listen nowhere. */
export function daemonCheck(found: Found | undefined, version: string): Check {
	if (found === undefined)
		return check('daemon', title, 'warn', 'cannot be asked: http.listen and http.socket are off');
	return 'status' in found ? running(found.status, version) : unanswered(found);
}

function unanswered({ place, error }: Extract<Found, { error: unknown }>): Check {
	const where = showPlace(place);
	switch (kindOf(error)) {
		case 'nobody':
			return check(
				'daemon',
				title,
				'warn',
				`none answers at ${where}`,
				'start it: systemctl start toascope, or toascope run',
			);
		case 'denied':
			return check(
				'daemon',
				title,
				'warn',
				`this user may not use ${where}`,
				'use sudo, or be of the group of the socket',
			);
		default:
			return check('daemon', title, 'warn', `${where}: ${firstLine(error)}`, whereLogIs(undefined));
	}
}

function running(status: Status, version: string): Check {
	const { pid, started_at: since, adopted } = status;
	const counters = adopted ? ', with the counters of the one before' : '';
	const found = `runs (pid ${pid}, ${status.version}) since ${since}${counters}`;
	const reasons = status.not_ready ?? [];
	if (reasons.length > 0) {
		const why = reasons.map(({ text }) => text).join('; ');
		return check('daemon', title, 'warn', `${found}, and is not ready: ${why}`, whereLogIs(pid));
	}
	if (status.version === version) return check('daemon', title, 'ok', found);
	return check('daemon', title, 'warn', found, `this command is ${version}: restart the daemon to have it run that`);
}

/** A file that was changed and not loaded is the mistake that one looks for longest. `file`: what it says now. */
export function reloadCheck({ pid, config, config_reload: reload }: Status, file: FileInForce): Check {
	const about = 'Loaded configuration';
	if (!reload.successful) {
		const advice = `the log says why; correct the file, then: kill -HUP ${pid}`;
		return check(
			'reload',
			about,
			'warn',
			`the last reload failed: what was loaded at ${reload.success_at} holds`,
			advice,
		);
	}
	const loaded = `loaded at ${reload.success_at}`;
	if (file.path !== (config.file ?? undefined)) {
		const advice = `${file.path ?? 'the defaults'} is not in force`;
		return check('reload', about, 'warn', `${loaded}, from ${config.file ?? 'no file'}`, advice);
	}
	// without one nothing was changed: `toascope demo` has settings of its own
	if (file.path === undefined) return check('reload', about, 'ok', `${loaded}, without a file`);
	if (file.config === undefined) return check('reload', about, 'ok', loaded);
	const differing = differences(config, file.config, file.defaults);
	if (differing.length === 0) return check('reload', about, 'ok', loaded);
	const now = differing.filter(({ reloadable }) => reloadable).map(({ path }) => path);
	const later = differing.filter(({ reloadable }) => !reloadable).map(({ path }) => path);
	const advice = [
		now.length === 0 ? '' : `kill -HUP ${pid} loads ${now.join(', ')}`,
		later.length === 0 ? '' : `a restart loads ${later.join(', ')}`,
	];
	// a reload has loaded the file, and left these as they were at the start
	const found =
		now.length === 0
			? `${loaded}; the file has other values of ${later.join(', ')}, which hold from a start on`
			: `the file was changed since it was ${loaded}`;
	return check('reload', about, 'warn', found, advice.filter((part) => part !== '').join('; '));
}

export interface FileInForce {
	/** Undefined: there is none. */
	readonly path: string | undefined;
	/** Without the environment; undefined where it cannot be read or is wrong. */
	readonly config: Config | undefined;
	/** The defaults. */
	readonly defaults: Config;
}

/** Keys whose value in the file is not the one in force; those that the daemon has from its environment are left out. */
function differences({ variables, values }: Status['config'], file: Config, defaults: Config) {
	const [inFile, otherwise] = [shown(file), shown(defaults)];
	const set = new Set(variables.map(longForm));
	const differs = (a: unknown, b: unknown) => JSON.stringify(a) !== JSON.stringify(b);
	return keys.filter(({ path, variable, otherwise: decided }) => {
		if (set.has(variable)) return false;
		// what the file leaves open was decided by the daemon's environment
		if (decided !== undefined && !differs(inFile[path], otherwise[path])) return false;
		return differs(inFile[path], values[path]);
	});
}
