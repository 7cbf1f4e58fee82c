// SPDX-License-Identifier: Apache-2.0
/** Metrics received over OTLP in the form of `/metrics`, so that the two can be compared as text. */
import type { Sample } from './metrics.ts';
import type { ReceivedMetric, ReceivedPoint } from './otlp_decode.ts';

const suffixes: Readonly<Record<string, string>> = { s: '_seconds', By: '_bytes' };

/** The name that the receiver of Prometheus makes of an OpenTelemetry name, its unit and its type. */
export function prometheusName({
	name,
	unit,
	isMonotonic,
}: Pick<ReceivedMetric, 'name' | 'unit' | 'isMonotonic'>): string {
	return `${name.replaceAll('.', '_')}${suffixes[unit] ?? ''}${isMonotonic ? '_total' : ''}`;
}

const labelNames: Readonly<Record<string, string>> = {
	'client.address': 'client',
	'toascope.verdict': 'result',
	'toascope.accept.seen': 'seen',
};

/** The labels of `/metrics` for these attributes. */
function labelsOf(attributes: ReceivedPoint['attributes']): Record<string, string> {
	const { 'server.address': address, 'server.port': port, ...others } = attributes;
	const labels: Record<string, string> = {};
	for (const [name, value] of Object.entries(others))
		labels[labelNames[name] ?? name.replace(/^.*\./, '')] = String(value);
	if (address === undefined) return labels;
	const host = String(address).includes(':') ? `[${address}]` : String(address);
	return { ...labels, listener: port === undefined ? String(address) : `${host}:${port}` };
}

/** The samples that `/metrics` has for these metrics; doubles as JavaScript prints them. */
function samplesOf(metrics: readonly ReceivedMetric[]): Sample[] {
	return metrics.flatMap((metric) => {
		const name = prometheusName(metric);
		return metric.points.flatMap(({ attributes, value, count, bounds = [], buckets = [] }) => {
			const labels = labelsOf(attributes);
			if (count === undefined) return [{ name, labels, value: String(value) }];
			let below = 0n;
			const bucketSamples = buckets.map((bucket, index) => {
				below += bucket;
				return {
					name: `${name}_bucket`,
					labels: { ...labels, le: String(bounds[index] ?? '+Inf') },
					value: String(below),
				};
			});
			return [
				...bucketSamples,
				{ name: `${name}_sum`, labels, value: String(value) },
				{ name: `${name}_count`, labels, value: String(count) },
			];
		});
	});
}

/** The start of each series, as `_created` states it in OpenMetrics; without those that have none. */
export function createdOf(metrics: readonly ReceivedMetric[]): Sample[] {
	return metrics.flatMap((metric) =>
		metric.points.flatMap(({ attributes, startTimeUnixNano: ns }) => {
			if (ns === 0n) return [];
			const name = `${prometheusName(metric).replace(/_total$/, '')}_created`;
			return [{ name, labels: labelsOf(attributes), value: secondsText(ns) }];
		}),
	);
}

function secondsText(ns: bigint): string {
	const fraction = String(ns % 1_000_000_000n)
		.padStart(9, '0')
		.replace(/0+$/, '');
	return `${ns / 1_000_000_000n}${fraction === '' ? '' : '.'}${fraction}`;
}

/** The last value of each series, with the labels of `/metrics`. */
export function latestSamples(metrics: readonly ReceivedMetric[]): Sample[] {
	return [...new Map(samplesOf(metrics).map((sample) => [lineOf({ ...sample, value: '' }), sample])).values()];
}

/** A sample as one line, whose labels are in the order of their names. */
export function lineOf({ name, labels, value }: Sample): string {
	return `${name} ${JSON.stringify(Object.entries(labels).toSorted())} ${value}`;
}
