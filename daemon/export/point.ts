// SPDX-License-Identifier: Apache-2.0
/**
 * What a metric shows at one moment, in the form from which both exporters, Prometheus and OTLP,
 * are made. Every value is as exact as its source.
 */
import type { Exemplar, Histogram } from '../model/snapshot.ts';

export type Labels = Readonly<Record<string, string>>;

export type PointValue =
	| { readonly type: 'integer'; readonly value: number | bigint }
	| { readonly type: 'float'; readonly value: number }
	/** A time, exported in seconds. */
	| { readonly type: 'time'; readonly ns: bigint }
	/** Times by their length; a summary has no bounds, and so a single bucket: its count. */
	| { readonly type: 'distribution'; readonly histogram: Histogram };

/** One series of a metric. */
export interface Point {
	readonly labels: Labels;
	readonly value: PointValue;
	/** When the series was 0 (Unix nanoseconds); undefined: not known, or a gauge. */
	readonly sinceNs?: bigint | undefined;
}

export function integer(value: number | bigint): PointValue {
	return { type: 'integer', value };
}

/** A time in nanoseconds. */
export function time(ns: bigint): PointValue {
	return { type: 'time', ns };
}

/** The sum and the number of times: a distribution without bounds. */
export function summary(sumNs: bigint, count: bigint): PointValue {
	return { type: 'distribution', histogram: { sumNs, buckets: [count], boundsNs: [] } };
}

/** A point for each count, whose name is the value of `label`. */
export function byLabel(label: string, counts: Readonly<Record<string, bigint>>): Point[] {
	return Object.entries(counts).map(([name, count]) => ({ labels: { [label]: name }, value: integer(count) }));
}

/** The exemplar of a bucket that has counted something. */
export function exemplarOf({ buckets, exemplars }: Histogram, bucket: number): Exemplar | undefined {
	return (buckets[bucket] ?? 0n) > 0n ? exemplars?.[bucket] : undefined;
}

/** How many times a distribution has. */
export function countOf({ buckets }: Histogram): bigint {
	return buckets.reduce((count, bucket) => count + bucket, 0n);
}
