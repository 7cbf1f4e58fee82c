// SPDX-License-Identifier: Apache-2.0
/**
 * The Prometheus exporter: prom-client's registry holds everything but the per-client families;
 * what it holds and they are rendered here, from one and the same snapshot.
 */
import { type Gauge, Registry } from 'prom-client';
import type { Snapshot } from '../../model/snapshot.ts';
import { metricTable } from '../metric_table.ts';
import { clientFamilies, SeriesLabels } from './client_families.ts';
import { type DaemonFacts, registerDaemonMetrics, registerProcessMetrics } from './daemon_metrics.ts';
import { exposition } from './exposition.ts';
import { type Family, type Sample, sampleLines } from './family.ts';
import { type HttpMetrics, registerHttpMetrics } from './http_metrics.ts';
import { PiecePool } from './piece_pool.ts';
import { snapshotCollectors } from './snapshot_collectors.ts';
import type { Format } from './text.ts';

export interface PrometheusExporter {
	/** Other parts of the daemon may register metrics of their own here. */
	readonly registry: Registry;
	/** What the HTTP servers count. */
	readonly http: HttpMetrics;
	/** The text of one scrape, in pieces of at most 256 KiB. `created`: in OpenMetrics, with the time at which series began. */
	render(format: Format, created?: boolean): AsyncGenerator<Buffer, void, void>;
	/** Nobody reads this piece any more, nor will: its memory is for the next. One that is kept stays as it is. */
	giveBack(piece: Buffer): void;
}

export interface PrometheusOptions {
	/** The store's latest snapshot; undefined before the first. */
	readonly latest: () => Snapshot | undefined;
	readonly facts: DaemonFacts;
	/** `process_*` and `nodejs_*` as well (default). */
	readonly processMetrics?: boolean;
	/** Told of a metric that could not be read; the scrape goes on without it. */
	readonly onError: (error: unknown, metric: string) => void;
}

const units = new Map(metricTable.map((metric) => [metric.name as string, 'unit' in metric ? metric.unit : undefined]));

export function createPrometheusExporter(options: PrometheusOptions): PrometheusExporter {
	const registry = new Registry();
	const pool = new PiecePool();
	const labels = new SeriesLabels();
	registerDaemonMetrics(registry, options.facts);
	const http = registerHttpMetrics(registry);
	for (const collector of snapshotCollectors(options.latest)) {
		// the registry takes any object with get(), its type knows only the library's own classes
		registry.registerMetric(collector as unknown as Gauge);
	}
	if (options.processMetrics !== false) registerProcessMetrics(registry);

	/** All get() are called, and the clients taken, in one turn of the event loop: one snapshot. */
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
		giveBack: (piece) => pool.giveBack(piece),
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
