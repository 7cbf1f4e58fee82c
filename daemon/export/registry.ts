// SPDX-License-Identifier: Apache-2.0
/**
 * The registry of all metrics except those of each client. prom-client keeps the counters of the
 * HTTP servers and the usual process_* and nodejs_* in it; the others are collectors that read the
 * snapshot or the daemon when they are asked.
 */
import { collectDefaultMetrics, type Gauge, Registry } from 'prom-client';
import { telemetryDrops } from '../model/drops.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { type DaemonState, daemonPoints } from './daemon_points.ts';
import { type HttpMetrics, registerHttpMetrics } from './http_metrics.ts';
import { type MetricName, type MetricOf, type MetricType, metricDefinition } from './metric_table.ts';
import type { Point } from './point.ts';
import { snapshotPoints } from './snapshot_points.ts';

export interface Metrics {
	/** Other parts of the daemon can register metrics of their own here. */
	readonly registry: Registry;
	/** The counters of the HTTP servers. */
	readonly http: HttpMetrics;
	/** The latest snapshot of the store; undefined before the first. */
	latest(): Snapshot | undefined;
	/** When the daemon started (Unix nanoseconds), and with it the counters of its own work. */
	readonly startedNs: bigint;
}

export interface MetricsOptions {
	readonly latest: () => Snapshot | undefined;
	readonly state: DaemonState;
	readonly startedNs: bigint;
	/** When the pinned counters of the whole table were 0 (Unix nanoseconds); undefined: not known. */
	readonly countersSinceNs: bigint | undefined;
	/** Whether to include `process_*` and `nodejs_*`; the default is true. */
	readonly processMetrics?: boolean;
}

/** A metric of the registry. */
export interface RegisteredMetric {
	readonly name: string;
	readonly help: string;
	readonly type: string;
	/** The points of a collector, which are made during iteration. */
	points?(): Iterable<Point>;
	/** What prom-client keeps: samples, as it prints them. */
	get(): CollectedMetric | Promise<CollectedMetric>;
}

export interface CollectedMetric {
	readonly name: string;
	readonly help: string;
	readonly type: string;
	readonly values: readonly PromClientSample[];
}

/** A sample of prom-client. */
export interface PromClientSample {
	/** Set if it differs from the metric's name: `_bucket`, `_sum`, `_count`. */
	readonly metricName?: string;
	readonly labels: Readonly<Record<string, string | number>>;
	readonly value: number;
}

/**
 * Default metrics of prom-client that promtool objects to: gauges named `_total`, types in names.
 * Other metrics have the same numbers (`nodejs_active_resources`, `nodejs_eventloop_lag_*`).
 */
const unwanted = [
	'nodejs_active_handles',
	'nodejs_active_handles_total',
	'nodejs_active_requests',
	'nodejs_active_requests_total',
	'nodejs_active_resources_total',
	'nodejs_eventloop_utilization_summary',
	'nodejs_eventloop_utilization_histogram',
];

/** The counters of the whole table, which are pinned like those of listeners and clients. */
const pinned: ReadonlySet<string> = new Set<MetricOf<'snapshot'>>([
	'toascope_clients_folded_total',
	'toascope_listeners_folded_total',
	'toascope_clients_overflowed_total',
	'toascope_drops_total',
	'toascope_connections_counted_total',
]);

export function createMetrics(options: MetricsOptions): Metrics {
	const { latest, state, startedNs, countersSinceNs, processMetrics = true } = options;
	const registry = new Registry();
	const collect = (name: string, sinceNs: bigint | undefined, points: () => Iterable<Point>) => {
		// the registry accepts any object with get(); its type names only the library's own classes
		registry.registerMetric(new Collector(name as MetricName, sinceNs, points) as unknown as Gauge);
	};
	for (const [name, read] of Object.entries(daemonPoints)) collect(name, startedNs, () => read(state));
	const http = registerHttpMetrics(registry);
	for (const [name, read] of Object.entries(snapshotPoints)) {
		collect(name, pinned.has(name) ? countersSinceNs : undefined, () => {
			const snapshot = latest();
			const points = snapshot === undefined ? [] : read(snapshot);
			return name === 'toascope_drops_total' ? withOwnStart(points, startedNs) : points;
		});
	}
	if (processMetrics) {
		collectDefaultMetrics({ register: registry });
		for (const name of unwanted) registry.removeSingleMetric(name);
	}
	return { registry, http, latest, startedNs };
}

/** All metrics of the registry, in the order of their registration. */
export function registeredMetrics({ registry }: Metrics): readonly RegisteredMetric[] {
	return registry.getMetricsAsArray() as unknown as RegisteredMetric[];
}

/** What prom-client accepts as a metric: a named object with `get()`. */
class Collector implements RegisteredMetric {
	readonly name: MetricName;
	readonly help: string;
	readonly type: MetricType;
	readonly aggregator = 'sum';
	readonly #sinceNs: bigint | undefined;
	readonly #points: () => Iterable<Point>;

	/** `sinceNs`: when series began that do not say it themselves (Unix nanoseconds). */
	constructor(metric: MetricName, sinceNs: bigint | undefined, points: () => Iterable<Point>) {
		const { name, help, type } = metricDefinition(metric);
		this.name = name as MetricName;
		this.help = help;
		this.type = type;
		this.#sinceNs = type === 'gauge' ? undefined : sinceNs;
		this.#points = points;
	}

	points(): Iterable<Point> {
		const [points, sinceNs] = [this.#points(), this.#sinceNs];
		return sinceNs === undefined ? points : withSince(points, sinceNs);
	}

	/**
	 * Without samples: prom-client's own renderer, which would print them, is not used, because it
	 * prints no exact integers.
	 */
	get(): CollectedMetric {
		return { name: this.name, help: this.help, type: this.type, values: [] };
	}
}

const ownReasons: ReadonlySet<string | undefined> = new Set(telemetryDrops);

/** The drops that the daemon itself counts began with it, and not with the pinned counters. */
function* withOwnStart(points: Iterable<Point>, startedNs: bigint): Generator<Point> {
	for (const point of points) {
		yield ownReasons.has(point.labels['reason']) ? { ...point, sinceNs: startedNs } : point;
	}
}

function* withSince(points: Iterable<Point>, sinceNs: bigint): Generator<Point> {
	for (const point of points) yield { sinceNs, ...point };
}
