// SPDX-License-Identifier: Apache-2.0
/**
 * Writes sample lines as bytes. A scrape has a hundred thousand lines if ten thousand clients are
 * exported: building them as strings is five times slower, in good part for garbage collection.
 */
import type { ChunkPool } from './chunk_pool.ts';
import { formatInteger, formatSeconds } from './text.ts';

const zero = 0x30;
const lineFeed = 0x0a;
const point = 0x2e;
const nsDigits = 9;

export class LineWriter {
	readonly #pool: ChunkPool;
	#chunk: Buffer | undefined;
	#length = 0;

	constructor(pool: ChunkPool) {
		this.#pool = pool;
	}

	/** Bytes written since the last take(). */
	get length(): number {
		return this.#length;
	}

	/** Returns what was written, in a chunk of the pool that its reader releases. */
	take(): Buffer {
		const written = this.#room(0).subarray(0, this.#length);
		this.#chunk = undefined;
		this.#length = 0;
		return written;
	}

	bytes(bytes: Uint8Array): void {
		this.#room(bytes.length).set(bytes, this.#length);
		this.#length += bytes.length;
	}

	/** Writes an integer; both a number and a bigint must be exact. */
	integer(value: number | bigint): void {
		if (typeof value === 'bigint') this.bytes(Buffer.from(formatInteger(value)));
		else if (value < 0) this.bytes(Buffer.from(String(value)));
		else this.#digits(value);
	}

	/** Writes nanoseconds, not negative, as seconds: an exact decimal. */
	seconds(ns: number | bigint): void {
		if (typeof ns === 'bigint') {
			this.bytes(Buffer.from(formatSeconds(ns)));
			return;
		}
		let rest = ns % 1e9;
		this.#digits((ns - rest) / 1e9);
		if (rest === 0) return;
		let digits = nsDigits;
		for (; rest % 10 === 0; digits--) rest /= 10;
		this.#room(1)[this.#length++] = point;
		this.#put(rest, digits);
	}

	endLine(): void {
		this.#room(1)[this.#length++] = lineFeed;
	}

	#digits(value: number): void {
		let digits = 1;
		for (let power = 10; value >= power; power *= 10) digits++;
		this.#put(value, digits);
	}

	#put(value: number, digits: number): void {
		const chunk = this.#room(digits);
		this.#length += digits;
		let left = value;
		for (let at = this.#length - 1; at >= this.#length - digits; at--) {
			const quotient = Math.floor(left / 10);
			chunk[at] = zero + (left - 10 * quotient);
			left = quotient;
		}
	}

	/** Returns the current chunk, with room for this many more bytes. */
	#room(bytes: number): Buffer {
		this.#chunk ??= this.#pool.alloc();
		const needed = this.#length + bytes;
		if (needed > this.#chunk.length) {
			const larger = Buffer.allocUnsafeSlow(2 * needed);
			this.#chunk.copy(larger, 0, 0, this.#length);
			this.#pool.release(this.#chunk);
			this.#chunk = larger;
		}
		return this.#chunk;
	}
}
