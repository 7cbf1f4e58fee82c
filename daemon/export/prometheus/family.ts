// SPDX-License-Identifier: Apache-2.0
/** A metric family to be rendered: its head, and its lines, which are made during iteration. */
import { countOf, exemplarOf, type Point, type PointValue } from '../point.ts';
import type { CollectedMetric } from '../registry.ts';
import { createdName, type FamilyHead, formatExemplar, formatLabels, formatSeconds, formatValue } from './text.ts';

export interface Family {
	readonly head: FamilyHead;
	/**
	 * Complete sample lines, each with its line feed: one line in a string, or a whole chunk of
	 * lines in a Buffer.
	 */
	readonly lines: Iterable<string | Buffer>;
}

/** What the lines have that only OpenMetrics has. */
export interface Extras {
	/** The creation time of each series where it is known. */
	readonly created: boolean;
	/** The exemplars of buckets. */
	readonly exemplars: boolean;
}

/**
 * The lines of a family's points. The creation time of a series comes right after its last sample:
 * Prometheus searches the rest of the family for it otherwise.
 */
export function* pointLines(
	{ name, type }: FamilyHead,
	points: Iterable<Point>,
	{ created, exemplars }: Extras,
): Generator<string> {
	for (const { labels, value, sinceNs } of points) {
		yield* valueLines(name, type, labels, value, exemplars);
		if (created && sinceNs !== undefined && type !== 'gauge') {
			yield `${createdName(name)}${formatLabels(labels)} ${formatSeconds(sinceNs)}\n`;
		}
	}
}

function* valueLines(
	name: string,
	type: string,
	labels: Point['labels'],
	value: PointValue,
	exemplars: boolean,
): Generator<string> {
	const text = formatLabels(labels);
	switch (value.type) {
		case 'integer':
		case 'float':
			yield `${name}${text} ${formatValue(value.value)}\n`;
			return;
		case 'time':
			yield `${name}${text} ${formatSeconds(value.ns)}\n`;
			return;
		case 'distribution': {
			const { sumNs, buckets, boundsNs } = value.histogram;
			let count = 0n;
			for (const [index, bucket] of type === 'summary' ? [] : buckets.entries()) {
				const boundNs = boundsNs[index];
				const le = boundNs === undefined ? Number.POSITIVE_INFINITY : Number(boundNs) / 1e9;
				count += bucket;
				const exemplar = exemplars ? exemplarOf(value.histogram, index) : undefined;
				yield `${name}_bucket${formatLabels({ ...labels, le })} ${count}${formatExemplar(exemplar)}\n`;
			}
			yield `${name}_sum${text} ${formatSeconds(sumNs)}\n`;
			yield `${name}_count${text} ${countOf(value.histogram)}\n`;
		}
	}
}

/**
 * The lines of a family that prom-client keeps; with `createdNs`, also the creation time of each
 * series: that of all of them, in Unix nanoseconds.
 */
export function* promClientLines({ name, type, values }: CollectedMetric, createdNs?: bigint): Generator<string> {
	const last = type === 'counter' ? name : `${name}_count`;
	for (const { metricName = name, labels, value } of values) {
		yield `${metricName}${formatLabels(labels)} ${formatValue(value)}\n`;
		if (createdNs === undefined || type === 'gauge' || metricName !== last) continue;
		yield `${createdName(name)}${formatLabels(labels)} ${formatSeconds(createdNs)}\n`;
	}
}
