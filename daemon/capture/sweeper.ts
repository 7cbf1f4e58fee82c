// SPDX-License-Identifier: Apache-2.0
/** Runs the sweep (bpf/sweep.bpf.c) over the table of connections, a slice at a time. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { NextTurn } from '../model/store.ts';
import { limit, sweepRequestLayout } from './layout.gen.ts';
import { type BpfObject, native } from './native.ts';

export const sweepProgram = 'toascope_sweep';

/** A slice takes 2 ms where all of its connections are open, and 50 us where there is nothing to do. */
const slotsASlice = 4096;
/** The event loop is given back when the slices since have taken so long. */
const sliceMs = 2;

export class Sweeper {
	readonly #bpf: BpfObject;
	readonly #slots: number;

	constructor(bpf: BpfObject) {
		this.#bpf = bpf;
		this.#slots = bpf.mapInfo('connections').maxEntries;
	}

	/** Counts what has closed and what is new; with `open` also what open connections did since. */
	async sweep(open: boolean, nextTurn: NextTurn): Promise<void> {
		const request = Buffer.alloc(sweepRequestLayout.size);
		request.writeUInt32LE(Number(open), sweepRequestLayout.open);
		let since = performance.now();
		for (let slot = 0; slot < this.#slots; slot += slotsASlice) {
			if (performance.now() - since > sliceMs) {
				await nextTurn();
				since = performance.now();
			}
			request.writeUInt32LE(slot, sweepRequestLayout.first);
			const slots = Math.min(slotsASlice, this.#slots - slot);
			this.#bpf.run(sweepProgram, request, Math.ceil(slots / limit.SLOTS_A_RUN));
		}
	}
}

/**
 * Counts all that stands in the table of another daemon, whose programs are not attached any more, by the sweep that it has pinned with
 * its maps. Layouts before 7 have none: their programs counted at once.
 */
export function sweepPinned(maps: string): void {
	const program = join(maps, sweepProgram);
	if (!existsSync(program)) return;
	const request = Buffer.alloc(sweepRequestLayout.size);
	request.writeUInt32LE(1, sweepRequestLayout.open);
	const { maxEntries } = native().pinnedMap(join(maps, 'connections'));
	native().runPinned(program, request, Math.ceil(maxEntries / limit.SLOTS_A_RUN));
}
