// SPDX-License-Identifier: Apache-2.0
/** What `/metrics` and an OTLP receiver must show alike when no traffic changes it. */
import { metricTable } from '../../../daemon/export/metric_table.ts';
import type { Daemon } from '../daemon/daemon.ts';
import { parseMetrics, type Sample } from './metrics.ts';
import { lineOf } from './otlp_series.ts';

/** The metrics of the snapshot that do not change at rest. */
const atRest = new Set(
	metricTable
		.filter(({ source, type, name }) => /^(client|snapshot)$/.test(source) && type !== 'gauge' && !/_bpf_/.test(name))
		.flatMap(({ name, type }) =>
			type === 'counter' ? [name] : ['_bucket', '_sum', '_count'].map((suffix) => name + suffix),
		),
);

/** The samples at rest as lines; times as doubles, which is what OTLP has. */
export function linesAtRest(samples: readonly Sample[]): string[] {
	return samples
		.filter(({ name }) => atRest.has(name))
		.map(({ name, labels: { le, ...labels }, value }) => {
			const bound = le === undefined || le === '+Inf' ? le : String(Number(le));
			const number = /_seconds_sum$/.test(name) ? String(Number(value)) : value;
			return lineOf({ name, labels: { ...labels, ...(bound !== undefined && { le: bound }) }, value: number });
		})
		.toSorted();
}

/** When the series began, as OpenMetrics says it: the samples `*_created`. */
export async function createdSamples(daemon: Daemon): Promise<Sample[]> {
	const accept = { accept: 'application/openmetrics-text; version=1.0.0' };
	const text = await (await fetch(`${daemon.url}/metrics?created=on`, { headers: accept })).text();
	return parseMetrics(text).filter(({ name }) => name.endsWith('_created'));
}

/** Samples as lines, each once, in the order of their names. */
export function distinctLines(samples: readonly Sample[]): string[] {
	return [...new Set(samples.map(lineOf))].toSorted();
}
