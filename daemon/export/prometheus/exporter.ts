// SPDX-License-Identifier: Apache-2.0
/**
 * The Prometheus exporter. prom-client's registry has all metrics except the per-client families;
 * this module renders both from the same snapshot.
 */
import { type Gauge, Registry } from 'prom-client';
import type { Snapshot } from '../../model/snapshot.ts';
import { metricTable } from '../metric_table.ts';
import { ChunkPool } from './chunk_pool.ts';
import { clientFamilies, SeriesLabels } from './client_families.ts';
import { type DaemonState, registerDaemonMetrics, registerProcessMetrics } from './daemon_metrics.ts';
import { exposition } from './exposition.ts';
import { type Family, type Sample, sampleLines } from './family.ts';
import { type HttpMetrics, registerHttpMetrics } from './http_metrics.ts';
import { snapshotCollectors } from './snapshot_collectors.ts';
import type { Format } from './text.ts';

export interface PrometheusExporter {
	/** Other parts of the daemon can register metrics of their own here. */
	readonly registry: Registry;
	/** The counters of the HTTP servers. */
	readonly http: HttpMetrics;
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
	/** The latest snapshot of the store; undefined before the first. */
	readonly latest: () => Snapshot | undefined;
	readonly facts: DaemonState;
	/** Whether to include `process_*` and `nodejs_*`; the default is true. */
	readonly processMetrics?: boolean;
	/** Called for a metric that could not be read; the scrape continues without it. */
	readonly onError: (error: unknown, metric: string) => void;
}

const units = new Map(metricTable.map((metric) => [metric.name as string, 'unit' in metric ? metric.unit : undefined]));

export function createPrometheusExporter(options: PrometheusOptions): PrometheusExporter {
	const registry = new Registry();
	const pool = new ChunkPool();
	const labels = new SeriesLabels();
	registerDaemonMetrics(registry, options.facts);
	const http = registerHttpMetrics(registry);
	for (const collector of snapshotCollectors(options.latest)) {
		// the registry accepts any object with get(); its type names only the library's own classes
		registry.registerMetric(collector as unknown as Gauge);
	}
	if (options.processMetrics !== false) registerProcessMetrics(registry);

	/**
	 * Calls every get() and reads the clients in one iteration of the event loop, so that all of
	 * them show the same snapshot.
	 */
	async function collect(created: boolean): Promise<Family[]> {
		const snapshot = options.latest();
		const clients = snapshot === undefined ? [] : clientFamilies(snapshot.clients, labels, pool, created);
		const metrics = registry.getMetricsAsArray() as unknown as RegisteredMetric[];
		const collected = await Promise.allSettled(metrics.map(async (metric) => metric.get()));
		const families: Family[] = [];
		for (const [index, result] of collected.entries()) {
			if (result.status === 'rejected') {
				options.onError(result.reason, metrics[index]?.name ?? '');
				continue;
			}
			const { name, help, type, values } = result.value;
			families.push({ head: { name, help, type, unit: units.get(name) }, lines: sampleLines(name, values, created) });
		}
		return [...families, ...clients];
	}

	return {
		registry,
		http,
		async *render(format, created = true) {
			yield* exposition(await collect(created && format === 'openmetrics'), format);
		},
		release: (chunk) => pool.release(chunk),
	};
}

interface RegisteredMetric {
	readonly name: string;
	get(): CollectedMetric | Promise<CollectedMetric>;
}

interface CollectedMetric {
	readonly name: string;
	readonly help: string;
	readonly type: string;
	readonly values: Iterable<Sample>;
}
