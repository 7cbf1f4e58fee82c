// SPDX-License-Identifier: Apache-2.0
/**
 * Upgrades from versions with a different layout of their records. A downgrade works the same way,
 * as far as the version that is started knows the names of the later one.
 */
import { join } from 'node:path';
import type { BpfObject } from '../../../native/binding.ts';
import { type LogSink, logLine } from '../../log_line.ts';
import { logLines } from '../../log_lines.ts';
import { metaEntry } from '../records/layout.gen.ts';
import type { ServedCgroup } from '../served_cgroup.ts';
import { sweepPinned } from '../sweeper.ts';
import { isScope } from './counter_scope.ts';
import { type MigrationResult, metaOf, migrate, NotMigrated } from './migrate.ts';
import type { Pins } from './pins.ts';

/**
 * Stops the programs that a version with another layout left counting, and migrates its counters.
 * Must be called when everything except the counting program is attached: connections that open
 * meanwhile are not counted. If the daemon is killed in the middle, the next start repeats the
 * migration: no program has counted meanwhile, and the maps of the other layout are unchanged.
 * Counters of another scope are discarded.
 */
export function migrateCounters(bpf: BpfObject, pins: Pins, cgroup: ServedCgroup, log: LogSink): void {
	const [layout] = pins.otherLayouts;
	// the daemon was killed after it had migrated them
	if (layout === undefined || pins.adopted) return;
	pins.detachLinksOf(layout);
	const maps = pins.mapsOf(layout);
	if (!isScope(metaOf(maps, metaEntry.META_SCOPE), cgroup)) {
		logLine(log, logLines.otherScope, { pins: join(pins.root, layout) });
		return;
	}
	let migrated: MigrationResult;
	try {
		sweepPinned(maps);
		migrated = migrate(bpf, maps, pins.maps);
	} catch (error) {
		if (!(error instanceof NotMigrated)) throw error;
		logLine(log, logLines.otherLayout, { layout, why: error.message });
		return;
	}
	pins.adopt();
	logLine(log, migrated.lost.length === 0 ? logLines.migrated : logLines.migratedInPart, {
		layout,
		open: Number(migrated.open),
		...(migrated.lost.length === 0 ? {} : { lost: migrated.lost }),
	});
}
