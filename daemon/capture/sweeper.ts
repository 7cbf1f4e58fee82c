// SPDX-License-Identifier: Apache-2.0
/** Runs the sweep (bpf/sweep.bpf.c) over the connection table, one slice at a time. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type BpfObject, native } from '../../native/binding.ts';
import type { Yield } from '../event_loop.ts';
import { constant, sweepRequestLayout } from './records/layout.gen.ts';

export const sweepProgram = 'toascope_sweep';

/**
 * A slice runs for 2 ms if all of its connections are open, and 50 us if there is nothing to do.
 */
const slotsPerSlice = 4096;
/** Yields to the event loop once the slices since the last yield have taken this long. */
const sliceMs = 2;

export class Sweeper {
	readonly #bpf: BpfObject;
	readonly #slots: number;

	constructor(bpf: BpfObject) {
		this.#bpf = bpf;
		this.#slots = bpf.map('connections').maxEntries;
	}

	/**
	 * Counts connections that have closed and new ones; with `open` also what open connections did
	 * since the last sweep.
	 */
	async sweep(open: boolean, yieldLoop: Yield): Promise<void> {
		const request = Buffer.alloc(sweepRequestLayout.size);
		request.writeUInt32LE(Number(open), sweepRequestLayout.open);
		let since = performance.now();
		for (let slot = 0; slot < this.#slots; slot += slotsPerSlice) {
			if (performance.now() - since > sliceMs) {
				await yieldLoop();
				since = performance.now();
			}
			request.writeUInt32LE(slot, sweepRequestLayout.first);
			const slots = Math.min(slotsPerSlice, this.#slots - slot);
			this.#bpf.run(sweepProgram, request, Math.ceil(slots / constant.SLOTS_PER_RUN));
		}
	}
}

/**
 * Counts everything in the table of another daemon, whose programs are no longer attached, by
 * running the sweep that it pinned with its maps. Layouts before 7 have no sweep: their programs
 * counted at once.
 */
export function sweepPinned(maps: string): void {
	const program = join(maps, sweepProgram);
	if (!existsSync(program)) return;
	const request = Buffer.alloc(sweepRequestLayout.size);
	request.writeUInt32LE(1, sweepRequestLayout.open);
	const { maxEntries } = native().pinnedMap(join(maps, 'connections'));
	native().runPinned(program, request, Math.ceil(maxEntries / constant.SLOTS_PER_RUN));
}
