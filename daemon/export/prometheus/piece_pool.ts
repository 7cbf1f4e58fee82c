// SPDX-License-Identifier: Apache-2.0
/**
 * Memory for the pieces of answers, used again and again. A scrape of ten thousand clients is ten megabytes: left to
 * the garbage collector, it would search the whole heap for every third.
 */

const pieceSize = 256 * 1024;
/** Pieces that wait for the next answer. One answer has three at a time, however long it is. */
const keptMost = 8;

/** A piece is written by one and read by one, and then comes back, once; what never does is left to the garbage collector. */
export class PiecePool {
	readonly #size: number;
	readonly #free: ArrayBuffer[] = [];
	readonly #out = new WeakSet<ArrayBufferLike>();

	/** `size`: of a piece, in bytes. */
	constructor(size = pieceSize) {
		this.#size = size;
	}

	/** A piece to be written: nobody else has it. */
	take(): Buffer {
		const memory = this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#size).buffer;
		this.#out.add(memory);
		return Buffer.from(memory);
	}

	/** Nobody reads this any more, nor will: the piece, or a part of it. Memory that is not from here, or is back already, is left alone. */
	giveBack({ buffer }: Buffer): void {
		if (!this.#out.delete(buffer)) return;
		if (this.#free.length < keptMost) this.#free.push(buffer as ArrayBuffer);
	}
}
