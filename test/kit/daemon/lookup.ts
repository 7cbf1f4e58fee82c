// SPDX-License-Identifier: Apache-2.0
/** Looks up connections in the daemon by their peer, as the server sees it. */
import type { ConnectionJson } from '../../../daemon/api/connection.ts';
import { batchMax } from '../../../daemon/http/query.ts';
import type { Daemon } from './daemon.ts';

/** Returns all connections that the daemon knows for each peer, newest first. */
export function lookUpAll(daemon: Daemon, peers: readonly string[]): Promise<ConnectionJson[][]> {
	return lookUpQueries(
		daemon,
		peers.map((peer) => ({ peer })),
	);
}

/** Returns the connections that the daemon knows for each query of `/v1/connections`. */
export async function lookUpQueries(daemon: Daemon, all: readonly object[]): Promise<ConnectionJson[][]> {
	const found: ConnectionJson[][] = [];
	for (let at = 0; at < all.length; at += batchMax) {
		const queries = all.slice(at, at + batchMax);
		const response = await fetch(`${daemon.url}/v1/connections`, {
			method: 'POST',
			headers: { 'content-type': 'application/json' },
			body: JSON.stringify({ queries }),
		});
		if (!response.ok) throw new Error(await response.text());
		const { results } = (await response.json()) as { results: { connections: ConnectionJson[] }[] };
		found.push(...results.map(({ connections }) => connections));
	}
	return found;
}

export async function lookUp(daemon: Daemon, peer: string): Promise<ConnectionJson[]> {
	const [found = []] = await lookUpAll(daemon, [peer]);
	return found;
}

/**
 * Repeats the lookup until `done` returns true: the kernel queues a segment while a process holds
 * the lock of the socket, and handles it when the lock is released.
 */
export async function lookUpUntil(
	daemon: Daemon,
	peer: string,
	done: (connections: readonly ConnectionJson[]) => boolean,
): Promise<ConnectionJson[]> {
	for (;;) {
		const found = await lookUp(daemon, peer);
		if (done(found)) return found;
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

/** Resolves with the newest connection of the peer, once it has closed. */
export async function closedConnection(daemon: Daemon, peer: string): Promise<ConnectionJson> {
	const [newest] = await lookUpUntil(daemon, peer, ([first]) => first?.state === 'closed');
	if (newest === undefined) throw new Error(`no connection of ${peer}`);
	return newest;
}
