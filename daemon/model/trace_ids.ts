// SPDX-License-Identifier: Apache-2.0
/**
 * The trace and span ids of a connection. They are derived from it, so every daemon on these
 * counters derives the same, and an open connection already has the ids that its span will have.
 */
import { createHash } from 'node:crypto';
import type { Connection } from './connection.ts';

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

	/** The first 16 and the next 8 bytes of a SHA-256; an id of zeros, which is invalid, cannot be expected. */
	of({ netns, cookie, openedNs }: Pick<Connection, 'netns' | 'cookie' | 'openedNs'>): TraceIds {
		const identity = Buffer.alloc(20);
		identity.writeUInt32LE(netns);
		identity.writeBigUInt64LE(cookie, 4);
		identity.writeBigUInt64LE(openedNs, 12);
		const hash = createHash('sha256').update(this.#prefix).update(identity).digest('hex');
		return { traceId: hash.slice(0, 32), spanId: hash.slice(32, 48) };
	}
}
