// SPDX-License-Identifier: Apache-2.0
/**
 * Numbers the clients of the kernel's table. A client keeps its number while it is in the table;
 * then the number is reused. What is remembered about clients between collections is kept in
 * columns, indexed by the number. There are no objects: a million clients use 65 MB, and the
 * garbage collector has nothing to traverse.
 */
import { getRandomValues } from 'node:crypto';

/** What has been decided about the client that has a number. */
export const clientState = {
	/** No client has the number. */
	unused: 0,
	/** Nothing yet: the client is new. */
	new: 1,
	/** The client counts in "other". */
	other: 2,
	/** The client has a series. */
	exported: 3,
} as const;

/** The number that is never assigned. */
const none = 0;

export class ClientIndex {
	/** Values of `clientState`. */
	readonly states: Uint8Array;
	/** The weight of each client in "other" at the last collection. */
	readonly weights: Float64Array;
	/** The number of the client's listener. */
	readonly listenerRows: Uint32Array;
	readonly #keyLength: number;
	readonly #keys: Uint16Array;
	/**
	 * Hash chains, and the chain of free numbers: the first number of each hash chain, and the next
	 * number after each.
	 */
	readonly #first: Uint32Array;
	readonly #nextInChain: Uint32Array;
	/**
	 * The number that was requested after each number the last time. The table has an order that
	 * hardly changes between collections, so this is usually right again.
	 */
	readonly #after: Uint32Array;
	readonly #multipliers: Uint32Array;
	readonly #shift: number;
	#latest = none;
	#free = none;
	/** This number and those above it have never been assigned. */
	#unused = 1;

	/** `keyLength` is in units of 16 bits. Resident memory grows only as numbers are assigned. */
	constructor(capacity: number, keyLength: number) {
		const hashBits = Math.max(1, 32 - Math.clz32(Math.max(0, capacity - 1)));
		this.states = new Uint8Array(capacity + 1);
		this.weights = new Float64Array(capacity + 1);
		this.listenerRows = new Uint32Array(capacity + 1);
		this.#keyLength = keyLength;
		this.#keys = new Uint16Array((capacity + 1) * keyLength);
		this.#first = new Uint32Array(2 ** hashBits);
		this.#nextInChain = new Uint32Array(capacity + 1);
		this.#after = new Uint32Array(capacity + 1);
		this.#multipliers = getRandomValues(new Uint32Array(keyLength));
		this.#shift = 32 - hashBits;
	}

	/**
	 * The number of the client whose key begins at `keys[at]`; a new client has the state `new`.
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
		while (number !== none && !this.#has(number, keys, at)) number = this.#nextInChain[number] ?? none;
		return number === none ? this.#add(chain, keys, at) : number;
	}

	#add(chain: number, keys: Uint16Array, at: number): number {
		const number = this.#allocate();
		this.#keys.set(keys.subarray(at, at + this.#keyLength), number * this.#keyLength);
		this.#nextInChain[number] = this.#first[chain] ?? none;
		this.#first[chain] = number;
		this.states[number] = clientState.new;
		return number;
	}

	/** Frees the number of a client that has left the table. */
	remove(number: number): void {
		const chain = this.#chain(this.#keys, number * this.#keyLength);
		const after = this.#nextInChain[number] ?? none;
		if (this.#first[chain] === number) {
			this.#first[chain] = after;
		} else {
			let before = this.#first[chain] ?? none;
			while (this.#nextInChain[before] !== number) before = this.#nextInChain[before] ?? none;
			this.#nextInChain[before] = after;
		}
		this.states[number] = clientState.unused;
		this.#nextInChain[number] = this.#free;
		this.#free = number;
	}

	#allocate(): number {
		if (this.#free !== none) {
			const number = this.#free;
			this.#free = this.#nextInChain[number] ?? none;
			return number;
		}
		if (this.#unused >= this.states.length) throw new RangeError('more clients than the table can hold');
		return this.#unused++;
	}

	#has(number: number, keys: Uint16Array, at: number): boolean {
		if (this.states[number] === clientState.unused) return false;
		const own = number * this.#keyLength;
		for (let unit = 0; unit < this.#keyLength; unit++) {
			if (this.#keys[own + unit] !== keys[at + unit]) return false;
		}
		return true;
	}

	/**
	 * Multilinear hashing (Lemire and Kaser, "Strongly universal string hashing is fast", 2014)
	 * with random multipliers of this process: peers choose the addresses, but cannot know which of
	 * them share a chain.
	 */
	#chain(keys: Uint16Array, at: number): number {
		let hash = 0;
		for (let unit = 0; unit < this.#keyLength; unit++) {
			hash = (hash + Math.imul(this.#multipliers[unit] ?? 0, keys[at + unit] ?? 0)) | 0;
		}
		return hash >>> this.#shift;
	}
}
