// SPDX-License-Identifier: Apache-2.0
/**
 * The trace and span ids of a connection. They are derived from it, so every daemon on these
 * counters derives the same, and an open connection already has the ids that its span will have.
 */
import { hash } from 'node:crypto';
import type { Connection } from './connection.ts';
import { traceRandomness } from './sampling.ts';

/** In hexadecimal, as W3C Trace Context has them. */
export interface TraceIds {
	readonly traceId: string;
	readonly spanId: string;
}

export class TraceIdSource {
	/** The input of the hash; the identity is written into it. */
	readonly #input: Buffer;
	readonly #identityAt: number;

	/**
	 * @param key the secret of the pinned counters: nobody else can predict the ids
	 * @param bootId distinguishes cookies, which begin again with each boot
	 */
	constructor(key: bigint, bootId: string) {
		this.#identityAt = 8 + Buffer.byteLength(bootId);
		this.#input = Buffer.alloc(this.#identityAt + 20);
		this.#input.writeBigUInt64LE(BigInt.asUintN(64, key));
		this.#input.write(bootId, 8);
	}

	/**
	 * The trace id has 9 bytes of a SHA-256, and the 7 of the randomness that the kernel samples by; the
	 * span id has the next 8 of the SHA-256. An id of zeros, which is invalid, cannot be expected.
	 */
	of(connection: Pick<Connection, 'netns' | 'cookie' | 'openedNs'>): TraceIds {
		const at = this.#identityAt;
		this.#input.writeUInt32LE(connection.netns, at);
		this.#input.writeBigUInt64LE(connection.cookie, at + 4);
		this.#input.writeBigUInt64LE(connection.openedNs, at + 12);
		const digest = hash('sha256', this.#input, 'hex');
		const randomness = traceRandomness(connection).toString(16).padStart(14, '0');
		return { traceId: digest.slice(0, 18) + randomness, spanId: digest.slice(18, 34) };
	}
}
