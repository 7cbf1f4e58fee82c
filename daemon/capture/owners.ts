// SPDX-License-Identifier: Apache-2.0
/** The processes that listen: who owns a connection whose accept was not seen. */
import type { Endpoint } from '../model/address.ts';
import { formatEndpoint } from '../model/address.ts';
import type { Connection, Owner } from '../model/connection.ts';
import type { Listening, ListeningSockets } from './listening.ts';

/** Walking the descriptors of all processes takes milliseconds: once in this time, while nothing tells that they changed. */
const maxAgeNs = 1_000_000_000n;

const key = (netns: number, endpoint: Endpoint) => `${netns} ${formatEndpoint(endpoint)}`;

function isGone(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return false;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === 'ESRCH';
	}
}

export class Owners {
	readonly #sockets: ListeningSockets;
	#listening = new Map<string, Listening>();
	/** CLOCK_MONOTONIC. */
	#readAtNs = -maxAgeNs;

	constructor(sockets: ListeningSockets) {
		this.#sockets = sockets;
	}

	/** The process that listens where this connection came in, and did when it was opened; undefined when it is gone. */
	of(connection: Connection): Owner | undefined {
		if (process.hrtime.bigint() - this.#readAtNs > maxAgeNs) this.#read();
		let found = this.#find(connection);
		// since then another process may have taken the port
		if (connection.openedNs > this.#readAtNs && (found === undefined || isGone(found.owner.pid))) {
			this.#read();
			found = this.#find(connection);
		}
		// one that began later has the port of another, which is gone
		return found !== undefined && found.startedNs <= connection.openedNs ? found.owner : undefined;
	}

	#find({ netns, local }: Connection): Listening | undefined {
		const any = (family: 4 | 6): Endpoint => ({ family, text: family === 4 ? '0.0.0.0' : '::', port: local.port });
		return (
			this.#listening.get(key(netns, local)) ??
			this.#listening.get(key(netns, any(local.family))) ??
			// a dual-stack listener takes IPv4 as well
			this.#listening.get(key(netns, any(6)))
		);
	}

	#read(): void {
		this.#readAtNs = process.hrtime.bigint();
		this.#listening = new Map();
		for (const listening of this.#sockets.read()) {
			const place = key(listening.netns, listening.local);
			// of several processes that share a listener the first, which made it, stands for all
			if (!this.#listening.has(place)) this.#listening.set(place, listening);
		}
	}
}
