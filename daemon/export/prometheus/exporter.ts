// SPDX-License-Identifier: Apache-2.0
/** The Prometheus exporter: renders the metrics of the registry and those of each client. */
import { metricTable } from '../metric_table.ts';
import { type Metrics, type RegisteredMetric, registeredMetrics } from '../registry.ts';
import { SeriesCache } from '../series_cache.ts';
import { ChunkPool } from './chunk_pool.ts';
import { clientFamilies, seriesLabels } from './client_families.ts';
import { exposition } from './exposition.ts';
import { type Extras, type Family, pointLines, promClientLines } from './family.ts';
import type { Format } from './text.ts';

/** Serves these metrics as text. */
export interface PrometheusExporter extends Metrics {
	/**
	 * The text of one scrape, in chunks of at most 256 KiB. `created`: with the creation times of
	 * series, which only OpenMetrics has.
	 */
	render(format: Format, created?: boolean): AsyncGenerator<Buffer, void, void>;
	/**
	 * Releases a chunk that is not read any more: its memory is reused. A chunk that is not
	 * released does not change.
	 */
	release(chunk: Buffer): void;
}

export interface PrometheusOptions {
	readonly metrics: Metrics;
	/** Called for a metric that could not be read; the scrape continues without it. */
	readonly onError: (error: unknown, metric: string) => void;
}

const units = new Map(metricTable.map((metric) => [metric.name as string, 'unit' in metric ? metric.unit : undefined]));

export function createPrometheusExporter({ metrics, onError }: PrometheusOptions): PrometheusExporter {
	const pool = new ChunkPool();
	const labels = new SeriesCache(seriesLabels);

	/**
	 * Reads every metric and the clients in one iteration of the event loop, so that all of them
	 * show the same snapshot.
	 */
	async function collect(extras: Extras): Promise<Family[]> {
		const snapshot = metrics.latest();
		const clients = snapshot === undefined ? [] : clientFamilies(snapshot.clients, labels, pool, extras.created);
		const registered = registeredMetrics(metrics);
		const collected = await Promise.allSettled(
			registered.map(async (metric) => familyOf(metric, extras, metrics.startedNs)),
		);
		const families: Family[] = [];
		for (const [index, result] of collected.entries()) {
			if (result.status === 'fulfilled') families.push(result.value);
			else onError(result.reason, registered[index]?.name ?? '');
		}
		return [...families, ...clients];
	}

	return {
		...metrics,
		async *render(format, created = true) {
			const exemplars = format === 'openmetrics';
			yield* exposition(await collect({ created: created && exemplars, exemplars }), format);
		},
		release: (chunk) => pool.release(chunk),
	};
}

/** `startedNs`: when the counters that prom-client keeps began (Unix nanoseconds). */
async function familyOf(metric: RegisteredMetric, extras: Extras, startedNs: bigint): Promise<Family> {
	const { name, help, type } = metric;
	const head = { name, help, type, unit: units.get(name) };
	if (metric.points !== undefined) return { head, lines: pointLines(head, metric.points(), extras) };
	return { head, lines: promClientLines(await metric.get(), extras.created ? startedNs : undefined) };
}
