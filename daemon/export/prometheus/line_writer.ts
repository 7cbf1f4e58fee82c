// SPDX-License-Identifier: Apache-2.0
/**
 * Sample lines as bytes. A scrape has a hundred thousand of them where ten thousand clients are exported: put
 * together as strings they take five times as long, a good part of it for the garbage collector.
 */
import type { PiecePool } from './piece_pool.ts';
import { formatInteger, formatSeconds } from './text.ts';

const zero = 0x30;
const lineFeed = 0x0a;
const point = 0x2e;
const nsDigits = 9;

export class LineWriter {
	readonly #pool: PiecePool;
	#piece: Buffer | undefined;
	#length = 0;

	constructor(pool: PiecePool) {
		this.#pool = pool;
	}

	/** Bytes written since the last take(). */
	get length(): number {
		return this.#length;
	}

	/** Hands over what was written, in memory of the pool that whoever has read it may give back. */
	take(): Buffer {
		const taken = this.#room(0).subarray(0, this.#length);
		this.#piece = undefined;
		this.#length = 0;
		return taken;
	}

	bytes(bytes: Uint8Array): void {
		this.#room(bytes.length).set(bytes, this.#length);
		this.#length += bytes.length;
	}

	/** A whole number: exact, as a number or a bigint. */
	integer(value: number | bigint): void {
		if (typeof value === 'bigint') this.bytes(Buffer.from(formatInteger(value)));
		else if (value < 0) this.bytes(Buffer.from(String(value)));
		else this.#digits(value);
	}

	/** Nanoseconds, not negative, as seconds: an exact decimal. */
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
		const piece = this.#room(digits);
		this.#length += digits;
		let left = value;
		for (let at = this.#length - 1; at >= this.#length - digits; at--) {
			const quotient = Math.floor(left / 10);
			piece[at] = zero + (left - 10 * quotient);
			left = quotient;
		}
	}

	/** The piece, with room for so many bytes more. */
	#room(bytes: number): Buffer {
		this.#piece ??= this.#pool.take();
		const needed = this.#length + bytes;
		if (needed > this.#piece.length) {
			const larger = Buffer.allocUnsafeSlow(2 * needed);
			this.#piece.copy(larger, 0, 0, this.#length);
			this.#pool.giveBack(this.#piece);
			this.#piece = larger;
		}
		return this.#piece;
	}
}
