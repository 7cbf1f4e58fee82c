// SPDX-License-Identifier: Apache-2.0
/** The configuration: can the file be loaded, and what does the one in force say? */
import type { ToascopeError } from '../errors.ts';
import { type Check, check } from './check.ts';

/** Keys and values as the file would have them. */
export type Values = Readonly<Record<string, unknown>>;

/** The file: `error` is what is wrong with it. `running`: a daemon is, so that it is no matter who may read it. */
export function fileCheck(file: string | undefined, error: ToascopeError | undefined, running: boolean): Check {
	const title = 'Configuration';
	if (error === undefined) {
		return check('configuration', title, 'ok', file ?? 'no file: the defaults, and the environment over them');
	}
	if (running && isDenied(error)) return check('configuration', title, 'ok', `${file} (not for this user to read)`);
	const lines = error.message.split('\n');
	const more = lines.length > 1 ? ` (and ${lines.length - 1} more: toascope config check)` : '';
	const way = error.code === 'CONFIG_UNREADABLE' ? (error.hint ?? '') : 'correct it';
	const advice = `${way}; neither a start nor a reload takes it so`;
	return check('configuration', title, 'fail', `${lines[0]}${more}`, advice);
}

/** Whoever starts the daemon may read it, this user may not. */
export function isDenied({ code, cause }: ToascopeError): boolean {
	return code === 'CONFIG_UNREADABLE' && (cause as NodeJS.ErrnoException).code === 'EACCES';
}

/** What holds: of the daemon that runs, else of the file. */
export function forceChecks(values: Values): Check[] {
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
				'trust is empty: every sender of a TOA option is believed',
				'set trust to the networks of your balancers, else any client can claim any address (docs/security.md)',
			);
}

function scope(values: Values): Check {
	const ports = values['listeners.ports'];
	const list = ports === 'all' ? [] : (ports as readonly unknown[]);
	const where = ports === 'all' ? 'all local ports' : `local port${list.length === 1 ? '' : 's'} ${list.join(', ')}`;
	const namespace = values['listeners.netns'] === 'host' ? ", in toascope's own network namespace" : '';
	return check('scope', 'What is looked for', 'ok', `${profileNames(values).join(', ')} on ${where}${namespace}`);
}

/** Nothing is said of a loopback address, nor where there is none. */
function openToOthers({ 'http.listen': listen }: Values): Check[] {
	if (/^(off$|127\.|\[::1\])/.test(String(listen))) return [];
	const found = `http.listen is ${listen}: whoever reaches it may read the addresses of clients; it asks for no password`;
	const advice = 'let a firewall say who does, or a proxy with authentication before 127.0.0.1 (docs/security.md)';
	return [check('http_open', 'Open to others', 'warn', found, advice)];
}

export function profileNames({ profiles }: Values): string[] {
	return (profiles as readonly (string | { readonly name: string })[]).map((profile) =>
		typeof profile === 'string' ? profile : profile.name,
	);
}
