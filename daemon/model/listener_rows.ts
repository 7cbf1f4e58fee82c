// SPDX-License-Identifier: Apache-2.0
/**
 * The listeners that the store knows, each with what its series `other` shows at the current
 * collection, and with the time since which its counters count.
 */
import { type Endpoint, formatEndpoint } from './address.ts';
import type { ListenerExemplars } from './exemplars.ts';
import { ListenerSlots } from './listener_slots.ts';
import type { Series } from './series.ts';
import type { ListenerTotals } from './snapshot.ts';
import type { ListenerRecord, Source } from './source.ts';
import { trafficWords } from './traffic.ts';
import { unixNs } from './unix_ns.ts';

export const otherListener = 'other';

export interface ListenerRow {
	readonly name: string;
	/** When its counters were 0, where that is known (Unix nanoseconds). */
	readonly sinceNs: bigint | undefined;
	/** What its `other` shows at this collection, in words. */
	readonly sum: BigUint64Array;
	/** Connections of its clients without a series that are open at this collection. */
	active: number;
	/** Its clients in the table at this collection. */
	clients: number;
	readonly direct: Series;
	readonly other: Series;
}

export class ListenerRows {
	readonly #source: Source;
	readonly #slots: ListenerSlots;
	/**
	 * Start time of listeners that were there before this daemon and whose start time is not
	 * recorded.
	 */
	readonly #startNs = unixNs();
	/**
	 * Recorded by previous daemons: when each listener's counters began, by the listener's key; 0:
	 * not known.
	 */
	readonly #since: Map<string, bigint>;
	/**
	 * Just before the listeners were last read, at first by an earlier daemon (Unix nanoseconds): the
	 * counters of new ones were 0 then.
	 */
	#readNs: bigint;
	readonly #rows: ListenerRow[] = [];
	/** Indices into #rows, by the listener's key. */
	readonly #indices = new Map<string, number>();
	/** Indices of rows whose listener was folded. */
	readonly #free: number[] = [];

	/** `shownNs`: when an earlier daemon last showed what it counted (Unix nanoseconds). */
	constructor(source: Source, shownNs: bigint) {
		this.#source = source;
		this.#slots = new ListenerSlots(source);
		this.#readNs = shownNs;
		this.#since = source.readListenerSince();
	}

	/** Rows, including those that are free. */
	get length(): number {
		return this.#rows.length;
	}

	/** Clears what the previous collection added up. */
	clear(): void {
		for (const row of this.#rows) {
			row.sum.fill(0n);
			row.active = 0;
			row.clients = 0;
		}
	}

	at(index: number): ListenerRow {
		return this.#rows[index] as ListenerRow;
	}

	/** The index of a listener's row; undefined: it has none yet. */
	indexOf(key: string): number | undefined {
		return this.#indices.get(key);
	}

	/** Adds a row. Returns its index. */
	add(key: string, endpoint: Endpoint | undefined): number {
		const listener = nameOf(endpoint);
		const sinceNs = this.#sinceOf(key);
		const begun = sinceNs === undefined ? { sinceNs: this.#startNs, sinceUnknown: true } : { sinceNs };
		const series = (client: string): Series => ({ client, listener, ...begun });
		const sum = new BigUint64Array(trafficWords);
		const [direct, other] = [series('direct'), series('other')];
		const index = this.#free.pop() ?? this.#rows.length;
		this.#rows[index] = { name: listener, sum, active: 0, clients: 0, sinceNs, direct, other };
		this.#indices.set(key, index);
		return index;
	}

	/** When a listener's counters were 0; undefined where that is not recorded. */
	#sinceOf(key: string): bigint | undefined {
		const recorded = this.#since.get(key);
		if (recorded !== undefined) return recorded === 0n ? undefined : recorded;
		this.#source.writeListenerSince(key, this.#readNs);
		return this.#readNs;
	}

	/** Folds listeners that are gone. Returns those that stay in the table. */
	foldIdle(nowNs: bigint, idleNs: bigint): readonly ListenerRecord[] {
		const hasClients = (key: string) => (this.#rows[this.#indices.get(key) ?? -1]?.clients ?? 0) > 0;
		const { records, folded } = this.#slots.foldIdle({ nowNs, idleNs, hasClients });
		for (const key of folded) {
			const index = this.#indices.get(key);
			if (index === undefined) continue;
			this.#indices.delete(key);
			this.#since.delete(key);
			this.#free.push(index);
		}
		return records;
	}

	/** `readNs`: just before the listeners of the collection that has ended were read. */
	collectionEnded(readNs: bigint): void {
		this.#readNs = readNs;
	}

	/** The totals of a listener that has a row, with exemplars if it has some. */
	totals(record: ListenerRecord, exemplars: ListenerExemplars | undefined): ListenerTotals {
		const { key, slot: _slot, service: _service, activeNs: _activeNs, retired: _retired, ...shown } = record;
		const { direct: _direct, overflow: _overflow, unexported: _unexported, ...totals } = shown;
		const row = this.#rows[this.#indices.get(key) ?? 0];
		const all = { ...totals, listener: nameOf(record.endpoint), sinceNs: row?.sinceNs };
		if (exemplars === undefined) return all;
		const { rtt, duration, acceptWait } = totals;
		return {
			...all,
			rtt: { ...rtt, exemplars: exemplars.rtt },
			duration: { ...duration, exemplars: exemplars.duration },
			acceptWait: { ...acceptWait, exemplars: exemplars.acceptWait },
		};
	}
}

function nameOf(listener: Endpoint | undefined): string {
	return listener === undefined ? otherListener : formatEndpoint(listener);
}
