// SPDX-License-Identifier: Apache-2.0
/** The configuration: whether the file can be loaded, and what is in force. */
import type { ToascopeError } from '../errors.ts';
import { type Check, check } from './check.ts';

/** Values by key, in the notation of the configuration file. */
export type Values = Readonly<Record<string, unknown>>;

/**
 * Checks the file; `error` is what is wrong with it. `running`: a daemon is running, so this user
 * need not be able to read the file.
 */
export function fileCheck(file: string | undefined, error: ToascopeError | undefined, running: boolean): Check {
	const title = 'Configuration';
	if (error === undefined) {
		return check('configuration', title, 'ok', file ?? 'no file: the defaults, overridden by the environment');
	}
	if (running && isDenied(error)) return check('configuration', title, 'ok', `${file} (not readable by this user)`);
	const lines = error.message.split('\n');
	const more = lines.length > 1 ? ` (and ${lines.length - 1} more: toascope config check)` : '';
	const fix = error.code === 'CONFIG_UNREADABLE' ? (error.hint ?? '') : 'correct it';
	const advice = `${fix}; until then every start and reload fails`;
	return check('configuration', title, 'fail', `${lines[0]}${more}`, advice);
}

/** This user is not permitted to read the file, which says nothing about the daemon's user. */
export function isDenied({ code, cause }: ToascopeError): boolean {
	return code === 'CONFIG_UNREADABLE' && (cause as NodeJS.ErrnoException).code === 'EACCES';
}

/** What is in force: `values` are the running daemon's, otherwise the file's. */
export function inForceChecks(values: Values): Check[] {
	return [trust(values), scope(values), ...openToOthers(values)];
}

function trust({ trust: networks }: Values): Check {
	const list = networks as readonly string[];
	return list.length > 0
		? check('trust', 'Trusted senders', 'ok', list.join(', '))
		: check(
				'trust',
				'Trusted senders',
				'warn',
				'trust is empty: TOA options of every sender are trusted',
				'set trust to the networks of your balancers; otherwise any client can claim any address (docs/security.md)',
			);
}

function scope(values: Values): Check {
	const ports = values['listeners.ports'];
	const list = ports === 'all' ? [] : (ports as readonly unknown[]);
	const where = ports === 'all' ? 'all local ports' : `local port${list.length === 1 ? '' : 's'} ${list.join(', ')}`;
	const namespace = values['listeners.netns'] === 'host' ? ", in toascope's own network namespace" : '';
	return check('scope', 'Profiles and ports', 'ok', `${profileNames(values).join(', ')} on ${where}${namespace}`);
}

/** No finding where http.listen is off or a loopback address. */
function openToOthers({ 'http.listen': listen }: Values): Check[] {
	if (/^(off$|127\.|\[::1\])/.test(String(listen))) return [];
	const found = `http.listen is ${listen}: everyone who can reach it can read the addresses of clients; it has no authentication`;
	const advice =
		'restrict access with a firewall, or listen on 127.0.0.1 behind a proxy with authentication (docs/security.md)';
	return [check('http_open', 'HTTP exposed', 'warn', found, advice)];
}

export function profileNames({ profiles }: Values): string[] {
	return (profiles as readonly (string | { readonly name: string })[]).map((profile) =>
		typeof profile === 'string' ? profile : profile.name,
	);
}
