// SPDX-License-Identifier: Apache-2.0
/** Finds the listener that a connection in the table counts for. */

import type { BpfMap, BpfObject } from '../../../native/binding.ts';
import type { Endpoint } from '../../model/address.ts';
import { connectionLayout, constant, listenerKeyLayout, listenerSlotLayout } from '../records/layout.gen.ts';
import { readEndpoint } from '../records/records.ts';

export class ListenerEndpoints {
	readonly #slots: BpfMap;
	readonly #key = Buffer.alloc(4);
	readonly #slot = Buffer.alloc(listenerSlotLayout.size);

	constructor(bpf: BpfObject) {
		this.#slots = bpf.map('listener_keys');
	}

	/**
	 * Returns the listener's endpoint; undefined: it is "other", or its slot has another listener
	 * now. The slot's service is odd while the slot is being freed; the next even value belongs to
	 * another listener.
	 */
	of(entries: Buffer, at: number): Endpoint | undefined {
		const slot = entries.readUInt16LE(at + connectionLayout.listener);
		if (slot === constant.OTHER_LISTENER) return undefined;
		this.#key.writeUInt32LE(slot);
		this.#slots.lookup(this.#key, this.#slot);
		const service = entries.readUInt32LE(at + connectionLayout.listenerService);
		if (this.#slot.readUInt32LE(listenerSlotLayout.service) >>> 1 !== service >>> 1) return undefined;
		return readEndpoint(this.#slot, listenerSlotLayout.key + listenerKeyLayout.local);
	}
}
