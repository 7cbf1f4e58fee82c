// SPDX-License-Identifier: Apache-2.0
/**
 * Listeners that are gone give their slots back, so that new ones find one: remote hosts (AnyIP, TPROXY) and short-lived
 * listeners (FTP) would use them up for good. What such a listener had counted goes to the listener `other`.
 *
 * It takes three looks. At the first the slot is retired: new connections count under `other` from then on. In the second each run of
 * a program that had begun comes to its end. The third begins with a sweep, which counts every connection of such a run, and
 * so finds every client. A listener that has neither connections nor clients then is folded; any other one goes on.
 */
import type { ListenerRecord, Source } from './source.ts';

/** Of the slots so many are kept free, where idle listeners have others. */
const freeShare = 8;

export interface FoldLimits {
	/** CLOCK_MONOTONIC. */
	readonly nowNs: bigint;
	/** Without connections and clients for so long: it may be folded. */
	readonly idleNs: bigint;
	/** Whether the table of clients holds one of the listener, by its key. */
	readonly hasClients: (key: string) => boolean;
}

const isOpen = ({ total }: ListenerRecord) => total.opened !== total.closed;

/** A listener that is folded and whose slot is not free yet: its counts are those of `other`. */
export const isFolded = ({ retired, total }: ListenerRecord): boolean => retired && total.opened === 0n;

export class ListenerSlots {
	readonly #source: Source;
	/** Keys of those that the look before found retired. */
	#foundRetired: ReadonlySet<string> = new Set();

	constructor(source: Source) {
		this.#source = source;
	}

	/**
	 * Once in a look, when its clients have been read. Returns the listeners as they are then, and the keys of those that
	 * were folded.
	 */
	settle(limits: FoldLimits): { readonly records: readonly ListenerRecord[]; readonly folded: readonly string[] } {
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

	/** As many of the idle ones as are to be free and are not. */
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
