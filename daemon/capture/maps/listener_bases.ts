// SPDX-License-Identifier: Apache-2.0
/**
 * Keeps the counts of folded listeners. The counters of a slot, which are spread over several rows,
 * are never reset: the map `listener_bases` has the values from which the slot's next listener
 * starts. `other` shows the sum of all bases. Folding is a single write of a base, so a kill comes
 * either before or after it.
 */

import type { BpfMap, BpfObject } from '../../../native/binding.ts';
import type { ListenerRecord } from '../../model/source.ts';
import { constant, listenerLayout, listenerSlotLayout } from '../records/layout.gen.ts';
import { u32 } from '../records/records.ts';

/** struct listener consists only of 64-bit sums. */
const wordCount = listenerLayout.size / 8;

/** A buffer, as bytes and as words. */
function record(size: number): { readonly bytes: Buffer; readonly words: BigUint64Array } {
	const bytes = Buffer.from(new ArrayBuffer(size));
	return { bytes, words: new BigUint64Array(bytes.buffer, 0, size >> 3) };
}

function addWords(to: BigUint64Array, from: BigUint64Array, sign: 1n | -1n): void {
	for (let word = 0; word < wordCount; word++) to[word] = (to[word] ?? 0n) + sign * (from[word] ?? 0n);
}

export class ListenerBases {
	readonly #listeners: BpfMap;
	readonly #map: BpfMap;
	readonly #slots: BpfMap;
	/**
	 * By slot; without slots that still have their first listener. The daemon is the only writer of
	 * the map.
	 */
	readonly #bases = new Map<number, BigUint64Array>();
	/** The sum of all bases. */
	readonly #sum = new BigUint64Array(wordCount);
	readonly #value = record(listenerLayout.size);
	readonly #slot = Buffer.alloc(listenerSlotLayout.size);

	constructor(bpf: BpfObject) {
		this.#listeners = bpf.map('listeners');
		this.#map = bpf.map('listener_bases');
		this.#slots = bpf.map('listener_keys');
		const { maxEntries } = this.#map;
		const { bytes, words } = this.#value;
		for (let slot = 1; slot < maxEntries; slot++) {
			this.#map.lookup(u32(slot), bytes);
			if (words.some((word) => word !== 0n)) this.#keep(slot, words);
		}
	}

	#keep(slot: number, base: BigUint64Array): void {
		const before = this.#bases.get(slot);
		if (before !== undefined) addWords(this.#sum, before, -1n);
		this.#bases.set(slot, base.slice());
		addWords(this.#sum, base, 1n);
	}

	/** Reads the counters of a slot's listener; valid until the next call. */
	read(slot: number): Buffer {
		const { bytes, words } = this.#value;
		this.#listeners.lookup(u32(slot), bytes);
		if (slot === constant.OTHER_LISTENER) {
			addWords(words, this.#sum, 1n);
		} else {
			const base = this.#bases.get(slot);
			if (base !== undefined) addWords(words, base, -1n);
		}
		return bytes;
	}

	/**
	 * From now on `other` has everything that the slot has counted. No program counts there any
	 * more.
	 */
	fold(slot: number): void {
		const { bytes, words } = this.#value;
		this.#listeners.lookup(u32(slot), bytes);
		this.#map.update(u32(slot), bytes);
		this.#keep(slot, words);
	}

	/** Reads struct listener_slot. */
	slot(slot: number): Pick<ListenerRecord, 'service' | 'retired' | 'activeNs'> {
		this.#slots.lookup(u32(slot), this.#slot);
		const service = this.#slot.readUInt32LE(listenerSlotLayout.service);
		return {
			service,
			retired: (service & 1) === 1,
			activeNs: this.#slot.readBigUInt64LE(listenerSlotLayout.activeNs),
		};
	}

	/** Sets whether new connections count in a slot (struct listener_slot). */
	setRetired(slot: number, retired: boolean): void {
		this.#slots.lookup(u32(slot), this.#slot);
		const service = this.#slot.readUInt32LE(listenerSlotLayout.service);
		this.#slot.writeUInt32LE(retired ? service | 1 : service & ~1, listenerSlotLayout.service);
		this.#slots.update(u32(slot), this.#slot);
	}
}
