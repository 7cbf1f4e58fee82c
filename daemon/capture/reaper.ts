// SPDX-License-Identifier: Apache-2.0
/** Finds connections that are gone although no callback has told of it (bpf/reap.bpf.c), and has them closed. */
import type { NextTurn } from '../model/store.ts';
import { reapRequestLayout } from './layout.gen.ts';
import type { BpfObject } from './native.ts';

/** A few hundred microseconds. */
const placesATurn = 4096;
const runsMax = 255;

export class Reaper {
	readonly #bpf: BpfObject;
	#flushedNs: bigint | undefined;
	#run = 0;

	constructor(bpf: BpfObject) {
		this.#bpf = bpf;
	}

	/** A flush that began then (CLOCK_MONOTONIC nanoseconds) has gone to its end. */
	flushed(beganNs: bigint): void {
		this.#flushedNs = beganNs;
	}

	/** Looks at every place that has been used; nothing without a flush since the last time. The second time closes what is gone. */
	async reap(nextTurn: NextTurn): Promise<void> {
		if (this.#flushedNs === undefined) return;
		this.#run = (this.#run % runsMax) + 1;
		const request = Buffer.alloc(reapRequestLayout.size);
		request.writeBigUInt64LE(this.#flushedNs, reapRequestLayout.flushedNs);
		request.writeUInt32LE(this.#run, reapRequestLayout.run);
		this.#flushedNs = undefined;
		const places = this.#bpf.count('connections');
		for (let place = 0; place < places; place += placesATurn) {
			if (place > 0) await nextTurn();
			request.writeUInt32LE(place, reapRequestLayout.place);
			this.#bpf.run('toascope_reap', request, Math.min(placesATurn, places - place));
		}
	}
}
