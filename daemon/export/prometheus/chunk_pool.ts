// SPDX-License-Identifier: Apache-2.0
/**
 * Memory for the chunks of responses, which is reused. A scrape of 100,000 clients has a hundred
 * megabytes: without reuse it takes 1.3 times the CPU and 45 MB more memory, and the garbage
 * collector scans the whole heap at every scrape instead of every tenth (2 runs of 15 scrapes each).
 */

const chunkSize = 256 * 1024;
/** Free chunks that are kept. A response uses three at a time, regardless of its length. */
const maxFree = 8;

/**
 * A chunk has one writer and one reader, and is released once after that. Chunks that are never
 * released are left to the garbage collector.
 */
export class ChunkPool {
	readonly #size: number;
	readonly #free: ArrayBuffer[] = [];
	readonly #inUse = new WeakSet<ArrayBufferLike>();

	/** `size`: of a chunk, in bytes. */
	constructor(size = chunkSize) {
		this.#size = size;
	}

	/** Returns a chunk for writing, which has no other user. */
	alloc(): Buffer {
		const memory = this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#size).buffer;
		this.#inUse.add(memory);
		return Buffer.from(memory);
	}

	/**
	 * Releases a chunk that is not read any more, given as the whole chunk or a part of it. Memory
	 * that is not from this pool, or has already been released, is ignored.
	 */
	release({ buffer }: Buffer): void {
		if (!this.#inUse.delete(buffer)) return;
		if (this.#free.length < maxFree) this.#free.push(buffer as ArrayBuffer);
	}
}
