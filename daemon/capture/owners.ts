// SPDX-License-Identifier: Apache-2.0
/** The processes that listen: who owns a connection whose accept was not seen. */
import type { Endpoint } from '../model/address.ts';
import { formatEndpoint } from '../model/address.ts';
import type { Connection, Owner } from '../model/connection.ts';
import { ownerLayout } from './layout.gen.ts';
import type { BpfObject, NativeError } from './native.ts';
import { type Listening, readListening } from './records.ts';

/** Walking the descriptors of all processes takes milliseconds: at most once in this time. */
const maxAgeMs = 1000;

const key = (netns: number, endpoint: Endpoint) => `${netns} ${formatEndpoint(endpoint)}`;

export class Owners {
	readonly #bpf: BpfObject;
	#buffer = Buffer.allocUnsafeSlow(4096 * ownerLayout.size);
	#listening = new Map<string, Listening>();
	#readAt = Number.NEGATIVE_INFINITY;

	/** The iterator `toascope_listeners` must be attached. */
	constructor(bpf: BpfObject) {
		this.#bpf = bpf;
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
		const bytes = this.#walk();
		this.#listening = new Map();
		for (let at = 0; at < bytes; at += ownerLayout.size) {
			const listening = readListening(this.#buffer, at);
			if (listening === undefined) continue;
			const place = key(listening.netns, listening.local);
			// of several processes that share a listener the first, which made it, stands for all
			if (!this.#listening.has(place)) this.#listening.set(place, listening);
		}
	}

	/** Bytes in the buffer, which grows with the host's listening descriptors. */
	#walk(): number {
		for (;;) {
			try {
				return this.#bpf.iterate('toascope_listeners', this.#buffer);
			} catch (error) {
				if ((error as NativeError).code !== 'ENOBUFS') throw error;
				this.#buffer = Buffer.allocUnsafeSlow(this.#buffer.length * 2);
			}
		}
	}
}
