// SPDX-License-Identifier: Apache-2.0
/**
 * Sample lines as bytes. A scrape has a hundred thousand of them where ten thousand clients are exported: put
 * together as strings they take five times as long, a good part of it for the garbage collector.
 */
import { formatInteger, formatSeconds } from './text.ts';

const zero = 0x30;
const lineFeed = 0x0a;
const point = 0x2e;
/** More than any number below 2^53 needs. */
const digitsMax = 16;
const nsDigits = 9;

export class LineWriter {
	readonly #size: number;
	#bytes: Buffer;
	#length = 0;

	/** `size`: of the buffers, in bytes; one that has to hold more grows. */
	constructor(size: number) {
		this.#size = size;
		this.#bytes = Buffer.allocUnsafeSlow(size);
	}

	/** Bytes written since the last take(). */
	get length(): number {
		return this.#length;
	}

	/** Hands over what was written. */
	take(): Buffer {
		const taken = this.#bytes.subarray(0, this.#length);
		this.#bytes = Buffer.allocUnsafeSlow(this.#size);
		this.#length = 0;
		return taken;
	}

	bytes(bytes: Uint8Array): void {
		this.#reserve(bytes.length);
		this.#bytes.set(bytes, this.#length);
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
		this.#reserve(1 + digits);
		this.#bytes[this.#length] = point;
		this.#length += 1 + digits;
		this.#put(rest, digits);
	}

	endLine(): void {
		this.#reserve(1);
		this.#bytes[this.#length++] = lineFeed;
	}

	#digits(value: number): void {
		this.#reserve(digitsMax);
		let digits = 1;
		for (let power = 10; value >= power; power *= 10) digits++;
		this.#length += digits;
		this.#put(value, digits);
	}

	/** So many digits, that end where the bytes written end. */
	#put(value: number, digits: number): void {
		let left = value;
		for (let at = this.#length - 1; at >= this.#length - digits; at--) {
			const quotient = Math.floor(left / 10);
			this.#bytes[at] = zero + (left - 10 * quotient);
			left = quotient;
		}
	}

	#reserve(bytes: number): void {
		const needed = this.#length + bytes;
		if (needed <= this.#bytes.length) return;
		const larger = Buffer.allocUnsafeSlow(2 * needed);
		this.#bytes.copy(larger, 0, 0, this.#length);
		this.#bytes = larger;
	}
}
