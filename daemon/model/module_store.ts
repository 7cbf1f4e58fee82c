// SPDX-License-Identifier: Apache-2.0
/** Snapshots where no connection is tracked: they contain only what toa.ko counts. */
import { SeriesTableBuilder } from './series_table.ts';
import type { Snapshot } from './snapshot.ts';
import type { SnapshotStore, StoreLimits } from './snapshot_store.ts';

export class ModuleStore implements SnapshotStore {
	limits: StoreLimits;
	readonly #events: () => Readonly<Record<string, bigint>>;
	readonly #drops: () => Readonly<Record<string, bigint>>;
	#snapshot: Snapshot | undefined;

	/** `events`: what toa.ko counts; `drops`: what was dropped outside the kernel, by reason. */
	constructor(
		events: () => Readonly<Record<string, bigint>>,
		limits: StoreLimits,
		drops: () => Readonly<Record<string, bigint>>,
	) {
		this.#events = events;
		this.limits = limits;
		this.#drops = drops;
	}

	get snapshot(): Snapshot | undefined {
		return this.#snapshot;
	}

	async collect(): Promise<Snapshot> {
		this.#snapshot = Object.freeze({
			atMs: Date.now(),
			listeners: [],
			clients: new SeriesTableBuilder(0).build(),
			clientsTracked: 0,
			clientsCapacity: 0,
			clientsExported: 0,
			clientsFolded: 0n,
			listenersFolded: 0n,
			clientsOverflowed: 0n,
			drops: this.#drops(),
			counted: {},
			moduleEvents: this.#events(),
			maps: [],
			programs: [],
		});
		return this.#snapshot;
	}
}
