// SPDX-License-Identifier: Apache-2.0
/** Reads the map `clients` page by page into one buffer. */

import type { BpfMap, BpfObject } from '../../../native/binding.ts';
import { type Endpoint, formatAddress } from '../../model/address.ts';
import type { ClientPage } from '../../model/source.ts';
import type { Traffic } from '../../model/traffic.ts';
import { trafficFields, trafficWords } from '../../model/traffic.ts';
import { clientKeyLayout, clientLayout, listenerKeyLayout, trafficLayout } from '../records/layout.gen.ts';
import { readEndpoint, readTraffic } from '../records/records.ts';

/**
 * A page is read and processed in about half a millisecond, or in a few milliseconds if all of its
 * clients are to be folded.
 */
const pageLength = 1024;

/**
 * The size of an entry, and the offsets in it of the fields of Traffic, in their order; all in
 * 64-bit words.
 */
const entryWords = clientLayout.size / 8;
const word = (offset: number) => offset / 8;
const fieldWords = trafficFields.map((field) => word(clientLayout.traffic + trafficLayout[field]));

/** The length of a key in 16-bit units. */
export const clientKeyLength = clientKeyLayout.size / 2;

export class Clients implements ClientPage {
	length = 0;
	readonly keys: Uint16Array;
	readonly capacity: number;
	readonly #map: BpfMap;
	readonly #keyBytes = Buffer.allocUnsafeSlow(pageLength * clientKeyLayout.size);
	readonly #values = Buffer.allocUnsafeSlow(pageLength * clientLayout.size);
	/** The values as words: reading a BigInt needs no call, and mostly no object. */
	readonly #words: BigUint64Array;
	#entries = 0;

	constructor(bpf: BpfObject) {
		this.#map = bpf.map('clients');
		this.capacity = this.#map.maxEntries;
		this.keys = new Uint16Array(this.#keyBytes.buffer);
		this.#words = new BigUint64Array(this.#values.buffer);
	}

	/** The number of entries that the latest complete read found. */
	get entries(): number {
		return this.#entries;
	}

	/** Yields the pages. Each overwrites the one before. */
	*read(): Generator<this> {
		let from: number | undefined;
		let entries = 0;
		do {
			const page = this.#map.readPage(this.#keyBytes, this.#values, from);
			from = page.next;
			entries += page.entries;
			this.length = page.entries;
			yield this;
		} while (from !== undefined);
		this.#entries = entries;
	}

	key(index: number): string {
		const at = index * clientKeyLayout.size;
		return this.#keyBytes.toString('latin1', at, at + clientKeyLayout.size);
	}

	listener(index: number): string {
		const at = index * clientKeyLayout.size + clientKeyLayout.listener;
		return this.#keyBytes.toString('latin1', at, at + listenerKeyLayout.size);
	}

	endpoint(index: number): Endpoint | undefined {
		const at = index * clientKeyLayout.size + clientKeyLayout.listener;
		return readEndpoint(this.#keyBytes, at + listenerKeyLayout.local);
	}

	label(index: number): string {
		const at = index * clientKeyLayout.size;
		const family = this.#keyBytes[at + clientKeyLayout.family] === 4 ? 4 : 6;
		const start = at + clientKeyLayout.address;
		const text = formatAddress(family, this.#keyBytes.subarray(start, start + 16));
		const length = this.#keyBytes[at + clientKeyLayout.prefixLength] ?? 0;
		return length === (family === 4 ? 32 : 128) ? text : `${text}/${length}`;
	}

	#word(index: number, offset: number): bigint {
		return this.#words[index * entryWords + word(offset)] ?? 0n;
	}

	traffic(index: number): Traffic {
		return readTraffic(this.#values, index * clientLayout.size + clientLayout.traffic);
	}

	copyTraffic(index: number, to: BigUint64Array, at: number): void {
		const from = index * entryWords;
		for (let word = 0; word < trafficWords; word++) to[at + word] = this.#words[from + (fieldWords[word] ?? 0)] ?? 0n;
	}

	addTraffic(index: number, to: BigUint64Array): void {
		const from = index * entryWords;
		for (let word = 0; word < trafficWords; word++) {
			to[word] = (to[word] ?? 0n) + (this.#words[from + (fieldWords[word] ?? 0)] ?? 0n);
		}
	}

	weight(index: number): number {
		return Number(
			this.#word(index, clientLayout.traffic + trafficLayout.receivedBytes) +
				this.#word(index, clientLayout.traffic + trafficLayout.sentBytes) +
				this.#word(index, clientLayout.traffic + trafficLayout.opened),
		);
	}

	createdNs(index: number): bigint {
		return this.#word(index, clientLayout.createdNs);
	}

	activeNs(index: number): bigint {
		return this.#word(index, clientLayout.activeNs);
	}

	open(index: number): bigint {
		const opened = this.#word(index, clientLayout.traffic + trafficLayout.opened);
		return opened - this.#word(index, clientLayout.traffic + trafficLayout.closed);
	}

	retired(index: number): boolean {
		return this.#word(index, clientLayout.generation) === 0n;
	}
}
