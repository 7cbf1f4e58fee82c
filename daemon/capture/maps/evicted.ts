// SPDX-License-Identifier: Apache-2.0
/** Reads which closed connections had to leave the table before `connections.retain` had passed. */
import type { BpfMap, BpfObject } from '../../../native/binding.ts';
import type { Retention } from '../../model/lookup.ts';
import { constant, evictedLayout } from '../records/layout.gen.ts';
import { u32 } from '../records/records.ts';

export class EvictedConnections {
	readonly #map: BpfMap;
	readonly #period = Buffer.alloc(evictedLayout.size);

	constructor(bpf: BpfObject) {
		this.#map = bpf.map('evicted_connections');
	}

	/** The retention in the last minutes. `nowNs`: CLOCK_MONOTONIC; `retainNs`: as it is configured. */
	retention(nowNs: bigint, retainNs: bigint): Retention {
		const current = nowNs >> BigInt(constant.EVICTED_SHIFT);
		let retainedNs = retainNs;
		let [count, heldNs] = [0n, 0n];
		for (let index = 0; index < constant.EVICTED_PERIODS; index++) {
			this.#map.lookup(u32(index), this.#period);
			const read = (at: number) => this.#period.readBigUInt64LE(at);
			const period = read(evictedLayout.period);
			if (period === 0n || period + BigInt(constant.EVICTED_PERIODS) <= current) continue;
			const youngestNs = read(evictedLayout.youngestNs);
			if (youngestNs < retainedNs) retainedNs = youngestNs;
			count += read(evictedLayout.count);
			heldNs += read(evictedLayout.heldNs);
		}
		return { retainedNs, slotNs: count === 0n ? undefined : heldNs / count };
	}
}
