// SPDX-License-Identifier: Apache-2.0
/** The running daemon: whether one answers, and whether it runs with what its file says now. */

import { errorKindOf, formatDaemonAddress } from '../client/daemon_client.ts';
import type { DaemonLookup, Status } from '../client/status.ts';
import { type Config, displayValues } from '../config/config.ts';
import { longForm } from '../config/environment.ts';
import { keys } from '../config/schema.ts';
import { type Check, check, firstLine } from './check.ts';
import { logAdvice } from './log_advice.ts';

const title = 'Daemon';

/** `version` is this command's. `found` undefined: the daemon is configured to listen nowhere. */
export function daemonCheck(found: DaemonLookup | undefined, version: string): Check {
	if (found === undefined)
		return check('daemon', title, 'warn', 'cannot be queried: http.listen and http.socket are off');
	return 'status' in found ? running(found.status, version) : unanswered(found);
}

function unanswered({ address, error }: Extract<DaemonLookup, { error: unknown }>): Check {
	const where = formatDaemonAddress(address);
	switch (errorKindOf(error)) {
		case 'not_listening':
			return check(
				'daemon',
				title,
				'warn',
				`no daemon is listening at ${where}`,
				'start it: systemctl start toascope, or toascope run',
			);
		case 'denied':
			return check(
				'daemon',
				title,
				'warn',
				`this user has no access to ${where}`,
				"use sudo, or add the user to the socket's group",
			);
		default:
			return check('daemon', title, 'warn', `${where}: ${firstLine(error)}`, logAdvice(undefined));
	}
}

function running(status: Status, version: string): Check {
	const { pid, started_at: since, adopted } = status;
	const counters = adopted ? ', with the counters of its predecessor' : '';
	const found = `runs (pid ${pid}, ${status.version}) since ${since}${counters}`;
	const reasons = status.not_ready ?? [];
	if (reasons.length > 0) {
		const why = reasons.map(({ text }) => text).join('; ');
		return check('daemon', title, 'warn', `${found}, but is not ready: ${why}`, logAdvice(pid));
	}
	if (status.version === version) return check('daemon', title, 'ok', found);
	return check('daemon', title, 'warn', found, `this command is ${version}: restart the daemon to run that version`);
}

/** Finds a file that was changed but not loaded, which is hard to notice. `file`: as it is now. */
export function reloadCheck({ pid, config, config_reload: reload }: Status, file: FileInForce): Check {
	const heading = 'Loaded configuration';
	if (!reload.successful) {
		const advice = `the log says why; correct the file, then: kill -HUP ${pid}`;
		return check(
			'reload',
			heading,
			'warn',
			`the last reload failed: what was loaded at ${reload.success_at} is still in force`,
			advice,
		);
	}
	const loaded = `loaded at ${reload.success_at}`;
	if (file.path !== (config.file ?? undefined)) {
		const advice = `${file.path ?? 'the defaults'} is not in force`;
		return check('reload', heading, 'warn', `${loaded}, from ${config.file ?? 'no file'}`, advice);
	}
	// without a file nothing can have changed: `toascope demo` has settings of its own
	if (file.path === undefined) return check('reload', heading, 'ok', `${loaded}, without a file`);
	if (file.config === undefined) return check('reload', heading, 'ok', loaded);
	const differing = differences(config, file.config, file.defaults);
	if (differing.length === 0) return check('reload', heading, 'ok', loaded);
	const now = differing.filter(({ reloadable }) => reloadable).map(({ path }) => path);
	const later = differing.filter(({ reloadable }) => !reloadable).map(({ path }) => path);
	const advice = [
		now.length === 0 ? '' : `kill -HUP ${pid} loads ${now.join(', ')}`,
		later.length === 0 ? '' : `a restart loads ${later.join(', ')}`,
	];
	// a reload loads the file, but leaves these keys as they were at the start
	const found =
		now.length === 0
			? `${loaded}; the file has other values of ${later.join(', ')}, which take effect at a restart`
			: `the file was changed since it was ${loaded}`;
	return check('reload', heading, 'warn', found, advice.filter((part) => part !== '').join('; '));
}

export interface FileInForce {
	/** Undefined: there is no file. */
	readonly path: string | undefined;
	/** Without the environment; undefined where the file cannot be read or is invalid. */
	readonly config: Config | undefined;
	readonly defaults: Config;
}

/** Keys whose value in the file is not in force, except those that the environment sets. */
function differences({ variables, values }: Status['config'], file: Config, defaults: Config) {
	const [inFile, inDefaults] = [displayValues(file), displayValues(defaults)];
	const set = new Set(variables.map(longForm));
	const differs = (a: unknown, b: unknown) => JSON.stringify(a) !== JSON.stringify(b);
	return keys.filter(({ path, variable, defaultText: derived }) => {
		if (set.has(variable)) return false;
		// where the file leaves such a key at its default, the daemon's environment decided it
		if (derived !== undefined && !differs(inFile[path], inDefaults[path])) return false;
		return differs(inFile[path], values[path]);
	});
}
