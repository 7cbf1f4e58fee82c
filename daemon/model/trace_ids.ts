// SPDX-License-Identifier: Apache-2.0
/**
 * The trace and span ids of a connection. They are derived from it, so every daemon on these
 * counters derives the same, and an open connection already has the ids that its span will have.
 */
import { createHash } from 'node:crypto';
import type { Connection } from './connection.ts';
import { traceRandomness } from './sampling.ts';

/** In hexadecimal, as W3C Trace Context has them. */
export interface TraceIds {
	readonly traceId: string;
	readonly spanId: string;
}

export class TraceIdSource {
	readonly #prefix: Buffer;

	/**
	 * @param key the secret of the pinned counters: nobody else can predict the ids
	 * @param bootId distinguishes cookies, which begin again with each boot
	 */
	constructor(key: bigint, bootId: string) {
		this.#prefix = Buffer.alloc(8 + Buffer.byteLength(bootId));
		this.#prefix.writeBigUInt64LE(BigInt.asUintN(64, key));
		this.#prefix.write(bootId, 8);
	}

	/**
	 * The trace id has 9 bytes of a SHA-256, and the 7 of the randomness that the kernel samples by; the
	 * span id has the next 8 of the SHA-256. An id of zeros, which is invalid, cannot be expected.
	 */
	of(connection: Pick<Connection, 'netns' | 'cookie' | 'openedNs'>): TraceIds {
		const { netns, cookie, openedNs } = connection;
		const identity = Buffer.alloc(20);
		identity.writeUInt32LE(netns);
		identity.writeBigUInt64LE(cookie, 4);
		identity.writeBigUInt64LE(openedNs, 12);
		const hash = createHash('sha256').update(this.#prefix).update(identity).digest('hex');
		const randomness = traceRandomness(connection).toString(16).padStart(14, '0');
		return { traceId: hash.slice(0, 18) + randomness, spanId: hash.slice(18, 34) };
	}
}
