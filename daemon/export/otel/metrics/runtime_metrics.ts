// SPDX-License-Identifier: Apache-2.0
/**
 * The metrics that prom-client keeps: the counters of the HTTP servers, and process_* and nodejs_*.
 * The latter keep their names, with the namespace before a dot and the unit apart, so that the
 * receiver of Prometheus gives them the names that `/metrics` has.
 */
import type { Labels, Point, PointValue } from '../../point.ts';
import { integer } from '../../point.ts';
import type { CollectedMetric, PromClientSample } from '../../registry.ts';
import type { StreamHead } from './stream.ts';

const units: Readonly<Record<string, string>> = { seconds: 's', bytes: 'By' };

function headOf({ name, help, type }: CollectedMetric): StreamHead {
	const [, base = name, unit = ''] = /^(.*?)(?:_(seconds|bytes))?(?:_total)?$/.exec(name) ?? [];
	return {
		name: base.replace('_', '.'),
		description: help,
		unit: units[unit] ?? '',
		isGauge: type === 'gauge',
		isPinned: false,
	};
}

/** `startedNs`: when the daemon started, and with it all of these counters (Unix nanoseconds). */
export function runtimeMetric(metric: CollectedMetric, startedNs: bigint): { head: StreamHead; points: Point[] } {
	const sinceNs = metric.type === 'gauge' ? undefined : startedNs;
	const points =
		metric.type === 'histogram'
			? histograms(metric.values)
			: metric.values.map(({ labels, value }) => ({ labels: textLabels(labels), value: numberOf(metric.name, value) }));
	return { head: headOf(metric), points: points.map((point) => ({ ...point, sinceNs })) };
}

/** The counters of toascope itself are integers; of the others, some are only at times. */
function numberOf(metric: string, value: number): PointValue {
	return metric.startsWith('toascope_') ? integer(value) : { type: 'float', value };
}

function textLabels(labels: PromClientSample['labels']): Labels {
	return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, String(value)]));
}

/** prom-client's histograms are cumulative, in seconds, with a sample for each bucket. */
function histograms(samples: readonly PromClientSample[]): Point[] {
	interface Series {
		readonly labels: Labels;
		readonly boundsNs: bigint[];
		readonly cumulative: bigint[];
		sumNs: bigint;
	}
	const series = new Map<string, Series>();
	for (const { metricName = '', labels: all, value } of samples) {
		const { le, ...rest } = all;
		const labels = textLabels(rest);
		const key = JSON.stringify(labels);
		const one = series.get(key) ?? { labels, boundsNs: [], cumulative: [], sumNs: 0n };
		series.set(key, one);
		if (metricName.endsWith('_sum')) one.sumNs = BigInt(Math.round(value * 1e9));
		if (!metricName.endsWith('_bucket')) continue;
		one.cumulative.push(BigInt(value));
		if (Number.isFinite(Number(le))) one.boundsNs.push(BigInt(Math.round(Number(le) * 1e9)));
	}
	return [...series.values()].map(({ labels, boundsNs, cumulative, sumNs }) => ({
		labels,
		value: {
			type: 'distribution',
			histogram: { sumNs, boundsNs, buckets: cumulative.map((count, index) => count - (cumulative[index - 1] ?? 0n)) },
		},
	}));
}
