// SPDX-License-Identifier: Apache-2.0
/**
 * The clients of the kernel's table, numbered: a client has its number while it is there, then another gets it. What is
 * remembered of it from look to look stands in columns under the number. No objects: for a million clients 65 MB,
 * and nothing for the garbage collector to walk through.
 */
import { getRandomValues } from 'node:crypto';

/** What has been decided about the client that has a number. */
export const standing = {
	/** None has it. */
	nobody: 0,
	/** Nothing yet: it has just come. */
	new: 1,
	/** It counts as "other". */
	other: 2,
	/** It has a series. */
	shown: 3,
} as const;

/** The number that is never given out. */
const none = 0;

export class Roster {
	/** Of `standing`. */
	readonly standings: Uint8Array;
	/** Of those in "other": the weight at the last look. */
	readonly weights: Float64Array;
	/** Its listener's number. */
	readonly lines: Uint32Array;
	readonly #keyLength: number;
	readonly #keys: Uint16Array;
	/** Chains of those whose keys hash alike, and of the numbers that came back: the first of each, and who follows. */
	readonly #first: Uint32Array;
	readonly #following: Uint32Array;
	/** Who was asked for next, the last time: the table has an order, and that hardly changes from look to look. */
	readonly #after: Uint32Array;
	readonly #multipliers: Uint32Array;
	readonly #shift: number;
	#latest = none;
	#free = none;
	/** This one and those above have never been given out. */
	#unused = 1;

	/** `keyLength` in units of 16 bits. Memory is taken as numbers are given out. */
	constructor(capacity: number, keyLength: number) {
		const hashBits = Math.max(1, 32 - Math.clz32(Math.max(0, capacity - 1)));
		this.standings = new Uint8Array(capacity + 1);
		this.weights = new Float64Array(capacity + 1);
		this.lines = new Uint32Array(capacity + 1);
		this.#keyLength = keyLength;
		this.#keys = new Uint16Array((capacity + 1) * keyLength);
		this.#first = new Uint32Array(2 ** hashBits);
		this.#following = new Uint32Array(capacity + 1);
		this.#after = new Uint32Array(capacity + 1);
		this.#multipliers = getRandomValues(new Uint32Array(keyLength));
		this.#shift = 32 - hashBits;
	}

	/**
	 * The number of the client whose key begins at `keys[at]`; a new one has standing `new`.
	 * @throws {RangeError} more clients than the capacity
	 */
	number(keys: Uint16Array, at: number): number {
		const guess = this.#after[this.#latest] ?? none;
		const number = this.#has(guess, keys, at) ? guess : this.#find(keys, at);
		this.#after[this.#latest] = number;
		this.#latest = number;
		return number;
	}

	#find(keys: Uint16Array, at: number): number {
		const chain = this.#chain(keys, at);
		let number = this.#first[chain] ?? none;
		while (number !== none && !this.#has(number, keys, at)) number = this.#following[number] ?? none;
		return number === none ? this.#add(chain, keys, at) : number;
	}

	#add(chain: number, keys: Uint16Array, at: number): number {
		const number = this.#take();
		this.#keys.set(keys.subarray(at, at + this.#keyLength), number * this.#keyLength);
		this.#following[number] = this.#first[chain] ?? none;
		this.#first[chain] = number;
		this.standings[number] = standing.new;
		return number;
	}

	/** The client has left the table. */
	remove(number: number): void {
		const chain = this.#chain(this.#keys, number * this.#keyLength);
		const after = this.#following[number] ?? none;
		if (this.#first[chain] === number) {
			this.#first[chain] = after;
		} else {
			let before = this.#first[chain] ?? none;
			while (this.#following[before] !== number) before = this.#following[before] ?? none;
			this.#following[before] = after;
		}
		this.standings[number] = standing.nobody;
		this.#following[number] = this.#free;
		this.#free = number;
	}

	#take(): number {
		if (this.#free !== none) {
			const number = this.#free;
			this.#free = this.#following[number] ?? none;
			return number;
		}
		if (this.#unused >= this.standings.length) throw new RangeError('more clients than the table can hold');
		return this.#unused++;
	}

	#has(number: number, keys: Uint16Array, at: number): boolean {
		if (this.standings[number] === standing.nobody) return false;
		const own = number * this.#keyLength;
		for (let unit = 0; unit < this.#keyLength; unit++) {
			if (this.#keys[own + unit] !== keys[at + unit]) return false;
		}
		return true;
	}

	/**
	 * Multilinear hashing (Lemire and Kaser, "Strongly universal string hashing is fast", 2014) with multipliers of this
	 * process alone: peers choose the addresses, and none of them knows which of these meet in a chain.
	 */
	#chain(keys: Uint16Array, at: number): number {
		let hash = 0;
		for (let unit = 0; unit < this.#keyLength; unit++) {
			hash = (hash + Math.imul(this.#multipliers[unit] ?? 0, keys[at + unit] ?? 0)) | 0;
		}
		return hash >>> this.#shift;
	}
}
