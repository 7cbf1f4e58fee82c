// SPDX-License-Identifier: Apache-2.0
/** What the layers above need of a store. */
import type { Yield } from '../event_loop.ts';
import type { Snapshot } from './snapshot.ts';

export interface StoreLimits {
	/** Series of clients, without `direct` and `other`. */
	readonly maxExported: number;
	/** A client without an open connection and without traffic for this long is folded. */
	readonly idleMs: number;
}

/** Builds the snapshots that exporters show. */
export interface SnapshotStore {
	/** The latest; undefined before the first collection. */
	readonly snapshot: Snapshot | undefined;
	/** In effect from the next collection on. */
	limits: StoreLimits;
	/** One collection at a time. */
	collect(yieldLoop: Yield): Promise<Snapshot>;
}
