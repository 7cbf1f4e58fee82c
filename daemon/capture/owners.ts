// SPDX-License-Identifier: Apache-2.0
/** The processes that listen: who owns a connection whose accept was not seen. */
import type { Endpoint } from '../model/address.ts';
import { formatEndpoint } from '../model/address.ts';
import type { Connection, Owner } from '../model/connection.ts';
import type { Listening, ListeningSockets } from './listening.ts';

/** Walking the descriptors of all processes takes milliseconds: at most once in this time. */
const maxAgeMs = 1000;

const key = (netns: number, endpoint: Endpoint) => `${netns} ${formatEndpoint(endpoint)}`;

export class Owners {
	readonly #sockets: ListeningSockets;
	#listening = new Map<string, Listening>();
	#readAt = Number.NEGATIVE_INFINITY;

	constructor(sockets: ListeningSockets) {
		this.#sockets = sockets;
	}

	/** The process that listens where this connection came in, and did when it was opened; undefined when it is gone. */
	of(connection: Connection): Owner | undefined {
		const { netns, local } = connection;
		if (performance.now() - this.#readAt > maxAgeMs) this.#read();
		const any = (family: 4 | 6): Endpoint => ({ family, text: family === 4 ? '0.0.0.0' : '::', port: local.port });
		const found =
			this.#listening.get(key(netns, local)) ??
			this.#listening.get(key(netns, any(local.family))) ??
			// a dual-stack listener takes IPv4 as well
			this.#listening.get(key(netns, any(6)));
		// one that began later has the port of another, which is gone
		return found !== undefined && found.startedNs <= connection.openedNs ? found.owner : undefined;
	}

	#read(): void {
		this.#readAt = performance.now();
		this.#listening = new Map();
		for (const listening of this.#sockets.read()) {
			const place = key(listening.netns, listening.local);
			// of several processes that share a listener the first, which made it, stands for all
			if (!this.#listening.has(place)) this.#listening.set(place, listening);
		}
	}
}
