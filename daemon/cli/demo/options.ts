// SPDX-License-Identifier: Apache-2.0
/** The options of `toascope demo`. */
import { ToascopeError } from '../../errors.ts';

export interface DemoOptions {
	/** Make the connections, check them, and exit. */
	readonly once?: true;
	readonly clients: number;
	/** Only with `once`. */
	readonly connections?: number;
	readonly json?: true;
	/** ADDR:PORT of /metrics. */
	readonly listen: string;
	/** Port of a server on this host's 127.0.0.1, which replaces the server of the lab. */
	readonly backend?: number;
}

export const defaultListen = '127.0.0.1:10646';
export const defaultConnections = 500;
/** The last is 2001:db8:c::ffff. */
const clientsMax = 65_535;

/** @throws {ToascopeError} USAGE for options that cannot be combined */
export function requireUsable(options: DemoOptions): void {
	const { once: isOnce, clients, connections = defaultConnections } = options;
	if (isOnce !== undefined && clients > connections) {
		throw new ToascopeError('USAGE', `${connections} connections cannot come from ${clients} clients`, {
			hint: 'raise --connections, or lower --clients',
		});
	}
	if (clients > clientsMax) {
		throw new ToascopeError('USAGE', `--clients ${clients}: the lab has at most ${clientsMax} clients`, {
			hint: `lower --clients to ${clientsMax}`,
		});
	}
	for (const name of ['json', 'connections'] as const) {
		if (isOnce !== undefined || options[name] === undefined) continue;
		throw new ToascopeError('USAGE', `--${name} requires --once`, { hint: 'add --once' });
	}
	if (isOnce !== undefined && options.backend !== undefined) {
		throw new ToascopeError('USAGE', '--backend cannot be combined with --once', {
			hint: "the answers of your server are not known, so there is nothing to check: omit --once, and watch your server's log",
		});
	}
}
