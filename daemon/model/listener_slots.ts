// SPDX-License-Identifier: Apache-2.0
/**
 * Frees the slots of listeners that are gone, so that new ones find a slot: otherwise remote hosts
 * (AnyIP, TPROXY) and short-lived listeners (FTP) would use them up for good. The counts of such a
 * listener go to the listener `other`.
 *
 * It takes three collections. The first retires the slot: from then on new connections count under
 * `other`. During the second, each program run that had begun before comes to its end. The third
 * begins with a sweep, which counts every connection of such a run, so all clients of the slot are
 * in the table. A listener that has neither connections nor clients by then is folded; any other
 * one continues.
 */
import type { ListenerRecord, Source } from './source.ts';

/** One slot in so many is kept free, as long as there are idle listeners to fold. */
const freeShare = 8;

export interface FoldLimits {
	/** CLOCK_MONOTONIC. */
	readonly nowNs: bigint;
	/** A listener without connections and clients for this long can be folded. */
	readonly idleNs: bigint;
	/** Whether the client table holds a client of the listener with this key. */
	readonly hasClients: (key: string) => boolean;
}

const isOpen = ({ total }: ListenerRecord) => total.opened !== total.closed;

/**
 * Whether a listener is folded but its slot is not free yet: its counts are already those of
 * `other`.
 */
const isFolded = ({ retired, total }: ListenerRecord): boolean => retired && total.opened === 0n;

export class ListenerSlots {
	readonly #source: Source;
	/** Keys of the listeners that the previous collection found retired. */
	#foundRetired: ReadonlySet<string> = new Set();

	constructor(source: Source) {
		this.#source = source;
	}

	/**
	 * Call it once per collection, when its clients have been read. Returns the listeners as they
	 * are then, and the keys of those that were folded.
	 */
	foldIdle(limits: FoldLimits): { readonly records: readonly ListenerRecord[]; readonly folded: readonly string[] } {
		const source = this.#source;
		const before = source.readListeners();
		const folded: string[] = [];
		const foundRetired = new Set<string>();
		for (const record of before) {
			if (!record.retired) continue;
			if (isOpen(record) || limits.hasClients(record.key)) source.restoreListener(record);
			else if (!this.#foundRetired.has(record.key)) foundRetired.add(record.key);
			else if (source.foldListener(record)) folded.push(record.key);
			else foundRetired.add(record.key);
		}
		this.#foundRetired = foundRetired;
		const records = folded.length === 0 ? before : source.readListeners();
		for (const record of this.#leastRecent(records, limits)) source.retireListener(record);
		return { records: records.filter((record) => !isFolded(record)), folded };
	}

	/** The least recently active idle listeners: as many as are needed for the free share. */
	#leastRecent(records: readonly ListenerRecord[], { nowNs, idleNs, hasClients }: FoldLimits): ListenerRecord[] {
		const { listenersCapacity: capacity } = this.#source;
		const listeners = records.filter(({ endpoint }) => endpoint !== undefined);
		const leaving = listeners.filter(({ retired }) => retired).length;
		const missing = Math.ceil(capacity / freeShare) - (capacity - listeners.length) - leaving;
		if (missing <= 0) return [];
		return listeners
			.filter((one) => !one.retired && !isOpen(one) && one.activeNs + idleNs < nowNs && !hasClients(one.key))
			.sort((a, b) => (a.activeNs < b.activeNs ? -1 : 1))
			.slice(0, missing);
	}
}
