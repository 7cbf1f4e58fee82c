// SPDX-License-Identifier: Apache-2.0
/**
 * Delta temporality: a point has what was added since the last one that the receiver accepted. What
 * was sent but not accepted is part of the next point, so a receiver that is away costs resolution
 * and no counts.
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
	accept(): void;
}

const nothing = () => {};

/** Whether a stream's points are deltas; a gauge has no temporality. */
export function isDelta({ isGauge }: MetricStream, { type }: PointValue, preference: TemporalityPreference): boolean {
	if (isGauge || preference === 'cumulative') return false;
	// by the specification "lowmemory" is delta for synchronous counters and histograms only, and
	// all counters here are read when they are exported
	return preference === 'delta' || type === 'distribution';
}

export class DeltaState {
	readonly #preference: TemporalityPreference;
	/** When this daemon began: series since then have been sent by no other (Unix nanoseconds). */
	readonly #startedNs: bigint;
	readonly #streams = new Map<string, Map<StreamPoint['series'], Accepted>>();
	#export = 0;

	constructor(preference: TemporalityPreference, startedNs: bigint) {
		this.#preference = preference;
		this.#startedNs = startedNs;
	}

	/** Begins an export; endExport() forgets series that do not occur in it. */
	beginExport(): void {
		this.#export++;
	}

	/**
	 * The points to send. A series from before this daemon whose counts an earlier daemon has sent
	 * begins at its first point here, which is not sent.
	 */
	*convert(stream: MetricStream): Generator<SentPoint> {
		for (const point of stream.points) {
			if (!isDelta(stream, point.value, this.#preference)) {
				yield { ...point, accept: nothing };
				continue;
			}
			const last = this.#last(stream, point);
			if (last !== undefined) yield* this.#difference(stream, point, last);
		}
	}

	endExport(): void {
		for (const accepted of this.#streams.values()) {
			for (const [series, last] of accepted) if (last.export !== this.#export) accepted.delete(series);
		}
	}

	/** What the receiver has of a series; undefined: nothing is known about what it has. */
	#last(stream: MetricStream, point: StreamPoint): Accepted | undefined {
		const accepted = this.#acceptedOf(stream);
		const last = accepted.get(point.series);
		if (last !== undefined) {
			last.export = this.#export;
			return last;
		}
		const { sinceNs, value } = point;
		if (sinceNs !== undefined && sinceNs >= this.#startedNs) {
			return { value: zeroOf(value), atNs: sinceNs, export: this.#export };
		}
		accepted.set(point.series, { value, atNs: stream.atNs, export: this.#export });
		return undefined;
	}

	*#difference(stream: MetricStream, point: StreamPoint, last: Accepted): Generator<SentPoint> {
		const value = difference(point.value, last.value);
		if (value === undefined) return;
		const accepted = this.#acceptedOf(stream);
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
