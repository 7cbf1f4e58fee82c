// SPDX-License-Identifier: Apache-2.0
/** Finds connections that are gone although no callback has told of it (bpf/reap.bpf.c), and has them closed. */
import type { NextTurn } from '../model/store.ts';
import { reapRequestLayout } from './layout.gen.ts';
import type { BpfObject } from './native.ts';

/** A few hundred microseconds. */
const placesATurn = 4096;
const runsMax = 255;
const allNamespaces = 0;

export class Reaper {
	readonly #bpf: BpfObject;
	/** When the latest flush of each network namespace began. */
	#flushedNs = new Map<number, bigint>();
	#run = 0;

	constructor(bpf: BpfObject) {
		this.#bpf = bpf;
	}

	/** A flush that began then (CLOCK_MONOTONIC nanoseconds) has gone to its end; it read this network namespace, or all. */
	flushed(beganNs: bigint, netns = allNamespaces): void {
		this.#flushedNs.set(netns, beganNs);
	}

	/** Looks at every place that has been used; nothing without a flush since the last time. The second time closes what is gone. */
	async reap(nextTurn: NextTurn): Promise<void> {
		if (this.#flushedNs.size === 0) return;
		const flushed = this.#flushedNs;
		this.#flushedNs = new Map();
		this.#run = (this.#run % runsMax) + 1;
		const places = this.#bpf.count('connections');
		let isFirst = true;
		for (const [netns, beganNs] of flushed) {
			const request = Buffer.alloc(reapRequestLayout.size);
			request.writeBigUInt64LE(beganNs, reapRequestLayout.flushedNs);
			request.writeUInt32LE(this.#run, reapRequestLayout.run);
			request.writeUInt32LE(netns, reapRequestLayout.netns);
			for (let place = 0; place < places; place += placesATurn) {
				if (!isFirst) await nextTurn();
				isFirst = false;
				request.writeUInt32LE(place, reapRequestLayout.place);
				this.#bpf.run('toascope_reap', request, Math.min(placesATurn, places - place));
			}
		}
	}
}
