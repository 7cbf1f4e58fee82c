// SPDX-License-Identifier: Apache-2.0
/** Metrics that the Collector has written, in the form in which a request is decoded. */
import type { CollectedMetric, CollectedPoint } from './collector.ts';
import type { ReceivedMetric, ReceivedPoint } from './otlp_decode.ts';

const temporalities = ['unspecified', 'delta', 'cumulative'] as const;

export function receivedOf({ name, unit = '', sum, gauge, histogram }: CollectedMetric): ReceivedMetric {
	const { dataPoints } = sum ?? gauge ?? histogram ?? { dataPoints: [] };
	return {
		resource: {},
		scope: { name: '', version: '' },
		name,
		description: '',
		unit,
		type: sum !== undefined ? 'sum' : gauge !== undefined ? 'gauge' : 'histogram',
		temporality: temporalities[(sum ?? histogram)?.aggregationTemporality ?? 0] ?? 'unspecified',
		isMonotonic: sum?.isMonotonic === true,
		points: dataPoints.map((point) => ({ ...pointOf(point), ...(histogram !== undefined && distributionOf(point)) })),
	};
}

function pointOf(point: CollectedPoint): ReceivedPoint {
	const attributes = (point.attributes ?? []).map(({ key, value }): [string, string | bigint] => [
		key,
		value['intValue'] === undefined ? (value['stringValue'] ?? '') : BigInt(value['intValue']),
	]);
	return {
		attributes: Object.fromEntries(attributes),
		startTimeUnixNano: BigInt(point.startTimeUnixNano ?? 0),
		timeUnixNano: BigInt(point.timeUnixNano),
		value: point.asInt === undefined ? (point.asDouble ?? point.sum ?? 0) : BigInt(point.asInt),
	};
}

/** The file exporter leaves out what is 0. */
const distributionOf = ({ count, explicitBounds, bucketCounts }: CollectedPoint) => ({
	count: BigInt(count ?? 0),
	bounds: explicitBounds ?? [],
	buckets: (bucketCounts ?? []).map(BigInt),
});
