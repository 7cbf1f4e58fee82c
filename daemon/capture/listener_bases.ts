// SPDX-License-Identifier: Apache-2.0
/**
 * What listeners that were folded had counted. A slot's counters are one value for each CPU, and no program may reach those of
 * other CPUs on all kernels: so they stay, and the map `listener_bases` says from where the slot's next listener begins.
 * `other` shows all that the bases hold. One write of a base is the whole fold: a kill comes before or after it.
 */
import { limit, listenerLayout, listenerSlotLayout } from './layout.gen.ts';
import type { BpfObject } from './native.ts';

/** All of struct listener is sums of 64 bits. */
const wordCount = listenerLayout.size / 8;

/** A buffer and the words in it. */
function record(size: number): { readonly bytes: Buffer; readonly words: BigUint64Array } {
	const bytes = Buffer.from(new ArrayBuffer(size));
	return { bytes, words: new BigUint64Array(bytes.buffer, 0, size >> 3) };
}

function addWords(to: BigUint64Array, from: BigUint64Array, sign: 1n | -1n): void {
	for (let word = 0; word < wordCount; word++) to[word] = (to[word] ?? 0n) + sign * (from[word] ?? 0n);
}

function slotKey(slot: number): Buffer {
	const key = Buffer.alloc(4);
	key.writeUInt32LE(slot);
	return key;
}

export class ListenerBases {
	readonly #bpf: BpfObject;
	/** By slot; slots whose first listener has them still are not there. The daemon is the only one who writes the map. */
	readonly #bases = new Map<number, BigUint64Array>();
	/** Of all bases. */
	readonly #sum = new BigUint64Array(wordCount);
	readonly #value = record(listenerLayout.size);
	readonly #slot = Buffer.alloc(listenerSlotLayout.size);

	constructor(bpf: BpfObject) {
		this.#bpf = bpf;
		const { maxEntries } = bpf.mapInfo('listener_bases');
		const { bytes, words } = this.#value;
		for (let slot = 1; slot < maxEntries; slot++) {
			bpf.lookup('listener_bases', slotKey(slot), bytes);
			if (words.some((word) => word !== 0n)) this.#keep(slot, words);
		}
	}

	#keep(slot: number, base: BigUint64Array): void {
		const before = this.#bases.get(slot);
		if (before !== undefined) addWords(this.#sum, before, -1n);
		this.#bases.set(slot, base.slice());
		addWords(this.#sum, base, 1n);
	}

	/** The counters of a slot's listener; valid until the next call. */
	read(slot: number): Buffer {
		const { bytes, words } = this.#value;
		this.#bpf.lookup('listeners', slotKey(slot), bytes);
		if (slot === limit.OTHER_LISTENER) {
			addWords(words, this.#sum, 1n);
		} else {
			const base = this.#bases.get(slot);
			if (base !== undefined) addWords(words, base, -1n);
		}
		return bytes;
	}

	/** All that a slot has counted is `other`'s from now on. Nothing counts there any more. */
	fold(slot: number): void {
		const { bytes, words } = this.#value;
		this.#bpf.lookup('listeners', slotKey(slot), bytes);
		this.#bpf.update('listener_bases', slotKey(slot), bytes);
		this.#keep(slot, words);
	}

	/** struct listener_slot; valid until the next call. */
	slot(slot: number): { readonly retired: boolean; readonly activeNs: bigint } {
		this.#bpf.lookup('listener_keys', slotKey(slot), this.#slot);
		return {
			retired: (this.#slot.readUInt32LE(listenerSlotLayout.service) & 1) === 1,
			activeNs: this.#slot.readBigUInt64LE(listenerSlotLayout.activeNs),
		};
	}

	/** Whether new connections count there: struct listener_slot. */
	setRetired(slot: number, retired: boolean): void {
		this.#bpf.lookup('listener_keys', slotKey(slot), this.#slot);
		const service = this.#slot.readUInt32LE(listenerSlotLayout.service);
		this.#slot.writeUInt32LE(retired ? service | 1 : service & ~1, listenerSlotLayout.service);
		this.#bpf.update('listener_keys', slotKey(slot), this.#slot);
	}
}
