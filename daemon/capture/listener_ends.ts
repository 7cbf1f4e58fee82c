// SPDX-License-Identifier: Apache-2.0
/** Which listener an entry of the table of connections counts for. */
import type { Endpoint } from '../model/address.ts';
import { connectionLayout, limit, listenerKeyLayout, listenerSlotLayout } from './layout.gen.ts';
import type { BpfObject } from './native.ts';
import { readEndpoint } from './records.ts';

export class ListenerEnds {
	readonly #bpf: BpfObject;
	readonly #key = Buffer.alloc(4);
	readonly #slot = Buffer.alloc(listenerSlotLayout.size);

	constructor(bpf: BpfObject) {
		this.#bpf = bpf;
	}

	/**
	 * The listener's end; undefined: it is "other", or another listener has its slot by now. The slot's service is odd while the slot is being
	 * given back, and the next even one is another listener's.
	 */
	of(connection: Buffer): Endpoint | undefined {
		const slot = connection.readUInt16LE(connectionLayout.listener);
		if (slot === limit.OTHER_LISTENER) return undefined;
		this.#key.writeUInt32LE(slot);
		this.#bpf.lookup('listener_keys', this.#key, this.#slot);
		const service = connection.readUInt32LE(connectionLayout.listenerService);
		if (this.#slot.readUInt32LE(listenerSlotLayout.service) >>> 1 !== service >>> 1) return undefined;
		return readEndpoint(this.#slot, listenerSlotLayout.key + listenerKeyLayout.local);
	}
}
