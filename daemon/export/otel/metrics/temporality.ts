// SPDX-License-Identifier: Apache-2.0
/**
 * Delta temporality: a point has what was added since the last one that the receiver accepted. What
 * was sent but not accepted is part of the next point.
 */
import type { TemporalityPreference } from '../../../otel_environment.ts';
import type { PointValue } from '../../point.ts';
import type { MetricStream, StreamPoint } from './stream.ts';

/** What the receiver has of a series. */
interface Accepted {
	readonly value: PointValue;
	/** Until when (Unix nanoseconds). */
	readonly atNs: bigint;
	/** The export in which the series was last seen. */
	export: number;
}

/** A point as it is sent, and what its acceptance means. */
export interface SentPoint extends StreamPoint {
	/** Undefined: nothing has to be remembered. */
	readonly accept?: () => void;
}

/** Whether a stream's points are deltas; a gauge has no temporality. */
export function isDelta(
	{ isGauge }: MetricStream,
	type: PointValue['type'],
	preference: TemporalityPreference,
): boolean {
	if (isGauge || preference === 'cumulative') return false;
	// by the specification "lowmemory" is delta for synchronous counters and histograms only, and
	// all counters here are read when they are exported
	return preference === 'delta' || type === 'distribution';
}

export class DeltaState {
	readonly #preference: TemporalityPreference;
	/** What the receiver has, by stream and series. */
	readonly #streams = new Map<string, Map<StreamPoint['series'], Accepted>>();
	/** Names of the streams that the current export has read. */
	readonly #read = new Set<string>();
	#export = 0;

	constructor(preference: TemporalityPreference) {
		this.#preference = preference;
	}

	/**
	 * A series that is there when the daemon starts: an earlier daemon has sent what it counted if
	 * the counters are its own, and nothing says when the series began if it has no start.
	 */
	begin(stream: MetricStream, point: StreamPoint, adopted: boolean): void {
		if (!isDelta(stream, point.value.type, this.#preference)) return;
		if (point.sinceNs !== undefined && !(adopted && stream.isPinned)) return;
		this.#acceptedOf(stream).set(point.series, { value: point.value, atNs: stream.atNs, export: this.#export });
	}

	/** Begins an export; endExport() forgets series that did not occur in it. */
	beginExport(): void {
		this.#export++;
		this.#read.clear();
	}

	/** The points to send; none for a series that has not changed. */
	*convert(stream: MetricStream): Generator<SentPoint> {
		this.#read.add(stream.name);
		for (const point of stream.points) {
			if (isDelta(stream, point.value.type, this.#preference)) yield* this.#difference(stream, point);
			else yield point;
		}
	}

	/** To be called only when the export has read all streams to their end. */
	endExport(): void {
		for (const [name, accepted] of this.#streams) {
			// a metric that could not be read says nothing about its series
			if (!this.#read.has(name)) continue;
			for (const [series, last] of accepted) if (last.export !== this.#export) accepted.delete(series);
		}
	}

	*#difference(stream: MetricStream, point: StreamPoint): Generator<SentPoint> {
		const accepted = this.#acceptedOf(stream);
		const known = accepted.get(point.series);
		if (known !== undefined) known.export = this.#export;
		// a series that appears later began with this daemon
		const last = known ?? { value: zeroOf(point.value), atNs: point.sinceNs ?? 0n };
		const value = difference(point.value, last.value);
		if (value === undefined) return;
		const next = { value: point.value, atNs: stream.atNs, export: this.#export };
		yield { ...point, value, sinceNs: last.atNs, accept: () => accepted.set(point.series, next) };
	}

	#acceptedOf({ name }: MetricStream): Map<StreamPoint['series'], Accepted> {
		let accepted = this.#streams.get(name);
		if (accepted === undefined) {
			accepted = new Map();
			this.#streams.set(name, accepted);
		}
		return accepted;
	}
}

function zeroOf(value: PointValue): PointValue {
	switch (value.type) {
		case 'integer':
		case 'float':
			return { ...value, value: 0 };
		case 'time':
			return { ...value, ns: 0n };
		case 'distribution': {
			const { boundsNs, buckets } = value.histogram;
			return { ...value, histogram: { sumNs: 0n, boundsNs, buckets: buckets.map(() => 0n) } };
		}
	}
}

/**
 * What was added; undefined: nothing. A value below the last one has begun again from 0, so all of
 * it was added.
 */
function difference(now: PointValue, last: PointValue): PointValue | undefined {
	switch (now.type) {
		case 'integer': {
			const [value, before] = [BigInt(now.value), last.type === 'integer' ? BigInt(last.value) : 0n];
			return added({ type: 'integer', value: value < before ? value : value - before }, value !== before);
		}
		case 'float': {
			const before = last.type === 'float' ? last.value : 0;
			return added({ type: 'float', value: now.value < before ? now.value : now.value - before }, now.value !== before);
		}
		case 'time': {
			const before = last.type === 'time' ? last.ns : 0n;
			return added({ type: 'time', ns: now.ns < before ? now.ns : now.ns - before }, now.ns !== before);
		}
		case 'distribution': {
			const { histogram } = now;
			const before = last.type === 'distribution' ? last.histogram : undefined;
			const earlier = (bucket: number) => before?.buckets[bucket] ?? 0n;
			const restarted = histogram.buckets.some((count, bucket) => count < earlier(bucket));
			if (restarted || before === undefined) return now;
			const buckets = histogram.buckets.map((count, bucket) => count - earlier(bucket));
			const sumNs = histogram.sumNs - before.sumNs;
			const changed = sumNs !== 0n || buckets.some((count) => count !== 0n);
			return added({ type: 'distribution', histogram: { ...histogram, sumNs, buckets } }, changed);
		}
	}
}

function added(value: PointValue, changed: boolean): PointValue | undefined {
	return changed ? value : undefined;
}
