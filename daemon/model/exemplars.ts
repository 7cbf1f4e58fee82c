// SPDX-License-Identifier: Apache-2.0
/**
 * Exemplars: for each bucket of a listener's histograms the connection that closed last, among those
 * that have a span.
 *
 * An exemplar is only ever shown in the bucket that has counted it. The value and the bucket are
 * computed from the record of the close, from which the kernel computes them too; and freeze() is
 * called before a sweep, which counts every connection whose record was read before.
 */
import type { Connection, ConnectionEvent, ListenerUse } from './connection.ts';
import type { Exemplar, Histogram } from './snapshot.ts';
import type { TraceIds } from './trace_ids.ts';

const histograms = ['rtt', 'duration', 'acceptWait'] as const;
type HistogramName = (typeof histograms)[number];

type Bounds = Readonly<Record<HistogramName, Histogram['boundsNs']>>;
/** For each histogram, by bucket. */
export type ListenerExemplars = Readonly<Record<HistogramName, Histogram['exemplars']>>;

/** The exemplars of one use of a slot of the listener table. */
interface Row {
	readonly use: number;
	readonly latest: Readonly<Record<HistogramName, (Exemplar | undefined)[]>>;
	shown: ListenerExemplars | undefined;
	changed: boolean;
}

/** Memory is bounded: a row for each slot of the listener table, an exemplar for each bucket. */
export class Exemplars {
	readonly #bounds: Bounds;
	/** By slot. */
	readonly #rows: (Row | undefined)[] = [];
	/** Rows that have changed since freeze(). */
	#changed: Row[] = [];

	/** `bounds`: the upper bounds of each histogram's buckets. */
	constructor(bounds: Bounds) {
		this.#bounds = bounds;
	}

	/** Adds a closed connection with a span. `timeNs`: when it closed (Unix nanoseconds). */
	add(
		{ connection, listener }: Pick<ConnectionEvent, 'connection' | 'listener'>,
		{ traceId, spanId }: TraceIds,
		timeNs: bigint,
	): void {
		if (listener === undefined) return;
		const row = this.#rowOf(listener);
		if (row === undefined) return;
		for (const name of histograms) {
			const valueNs = countedValue(name, connection);
			if (valueNs !== undefined)
				row.latest[name][bucketOf(valueNs, this.#bounds[name])] = { traceId, spanId, valueNs, timeNs };
		}
		if (row.changed) return;
		row.changed = true;
		this.#changed.push(row);
	}

	/** Makes of() return what has been added so far. */
	freeze(): void {
		for (const row of this.#changed) {
			const { rtt, duration, acceptWait } = row.latest;
			row.shown = { rtt: [...rtt], duration: [...duration], acceptWait: [...acceptWait] };
			row.changed = false;
		}
		this.#changed = [];
	}

	/** The exemplars of a listener at the latest freeze(); they do not change. */
	of({ slot, service }: ListenerUse): ListenerExemplars | undefined {
		const row = this.#rows[slot];
		return row?.use === useOf(service) ? row.shown : undefined;
	}

	/** Undefined: the slot has another listener by now. */
	#rowOf({ slot, service }: ListenerUse): Row | undefined {
		const use = useOf(service);
		const row = this.#rows[slot];
		if (row?.use === use) return row;
		if (row !== undefined && row.use > use) return undefined;
		const empty = { rtt: [], duration: [], acceptWait: [] };
		const added = { use, latest: empty, shown: undefined, changed: false };
		this.#rows[slot] = added;
		return added;
	}
}

/** `service` is odd while its listener is being folded, and grows when the slot has another one. */
function useOf(service: number): number {
	return service >>> 1;
}

/** What a histogram counts of a closed connection; undefined: nothing. */
function countedValue(name: HistogramName, { openedNs, acceptedNs, closedNs, rttNs }: Connection): bigint | undefined {
	switch (name) {
		case 'rtt':
			return rttNs === undefined ? undefined : BigInt(rttNs);
		case 'duration':
			return closedNs === undefined ? undefined : closedNs - openedNs;
		case 'acceptWait':
			return acceptedNs === undefined ? undefined : acceptedNs - openedNs;
	}
}

/** The bucket of a value, by the rule of the kernel side (histogram_bucket()): bounds are inclusive. */
function bucketOf(valueNs: bigint, boundsNs: readonly bigint[]): number {
	let [from, to] = [0, boundsNs.length];
	while (from < to) {
		const middle = (from + to) >> 1;
		if (valueNs <= (boundsNs[middle] ?? 0n)) to = middle;
		else from = middle + 1;
	}
	return from;
}
