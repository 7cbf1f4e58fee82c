// SPDX-License-Identifier: Apache-2.0
/** An upgrade, or the way back, between versions with other layouts of their records. */
import { join } from 'node:path';
import { type LogSink, logLines, tell } from '../log_lines.ts';
import { type CarriedOver, carryOver, ledgerOf, NotCarried } from './carry.ts';
import { isScope } from './foundation.ts';
import { ledgerEntry } from './layout.gen.ts';
import type { BpfObject } from './native.ts';
import type { Pins } from './pins.ts';
import type { ServedCgroup } from './served_cgroup.ts';
import { sweepPinned } from './sweeper.ts';

/**
 * Ends what a version with another layout left counting, and goes on with its counters. To be called when all is ready but
 * the program that counts: connections that open meanwhile are not counted. Killed in the
 * middle, it is done again, since nobody has counted meanwhile, and the other layout's maps are as they were.
 * Counters of another scope are given up.
 */
export function takeOver(bpf: BpfObject, pins: Pins, cgroup: ServedCgroup, log: LogSink): void {
	const [layout] = pins.otherLayouts;
	// of one that was killed when it had done this
	if (layout === undefined || pins.adopted) return;
	pins.dropLinksOf(layout);
	const maps = pins.mapsOf(layout);
	if (!isScope(ledgerOf(maps, ledgerEntry.LEDGER_FOUNDATION), cgroup)) {
		tell(log, logLines.otherFoundation, { pins: join(pins.root, layout) });
		return;
	}
	let carried: CarriedOver;
	try {
		sweepPinned(maps);
		carried = carryOver(bpf, maps, pins.maps);
	} catch (error) {
		if (!(error instanceof NotCarried)) throw error;
		tell(log, logLines.otherLayout, { layout, why: error.message });
		return;
	}
	pins.adopt();
	tell(log, carried.lost.length === 0 ? logLines.carriedOver : logLines.carriedOverInPart, {
		layout,
		open: Number(carried.open),
		...(carried.lost.length === 0 ? {} : { lost: carried.lost }),
	});
}
