// SPDX-License-Identifier: Apache-2.0
/**
 * The metrics that prom-client keeps itself: those of the daemon, and the usual process_* and
 * nodejs_*.
 */
import { Counter, collectDefaultMetrics, Gauge, type Registry } from 'prom-client';
import type { TaskStatistics } from '../../model/tasks.ts';
import { type MetricName, metricDefinition } from '../metric_table.ts';
import type { Sample } from './family.ts';

/** What the exporter reads from the daemon, anew at each scrape. */
export interface DaemonState {
	/** Versions. */
	readonly build: { readonly version: string; readonly node: string; readonly libbpf: string };
	/** Undefined while nothing is attached. */
	provider(): { readonly provider: string; readonly kernel: string; readonly mode: string } | undefined;
	/** What the latest check of the attachments found. */
	attachments(): {
		readonly programs: readonly { readonly program: string; readonly attached: boolean }[];
		readonly lost: Readonly<Record<string, bigint>>;
	};
	/**
	 * The result of the last load of the configuration, and the time of the last successful one
	 * (Unix milliseconds).
	 */
	configReload(): { readonly successful: boolean; readonly successAtMs: number };
	/** Failed attempts to listen, by endpoint: `listen`, `socket`. */
	listenFailures(): Readonly<Record<string, bigint>>;
	/** Statistics of every task that has run, and of every step that has failed. */
	tasks(): readonly TaskStatistics[];
	/** Log lines that were discarded. */
	logLinesDropped(): number;
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

/** Registers the metrics about the daemon itself. */
export function registerDaemonMetrics(registry: Registry, facts: DaemonState): void {
	gauge(registry, 'toascope_build_info', (self) => self.set({ ...facts.build }, 1));
	gauge(registry, 'toascope_provider_info', (self) => {
		self.reset();
		const provider = facts.provider();
		if (provider !== undefined) self.set({ ...provider }, 1);
	});
	gauge(registry, 'toascope_program_attached', (self) => {
		self.reset();
		for (const { program, attached } of facts.attachments().programs) self.set({ program }, Number(attached));
	});
	counter(registry, 'toascope_attachments_lost_total', (self) => {
		self.reset();
		for (const [attachment, times] of Object.entries(facts.attachments().lost)) self.inc({ attachment }, Number(times));
	});
	gauge(registry, 'toascope_config_last_reload_successful', (self) =>
		self.set(Number(facts.configReload().successful)),
	);
	gauge(registry, 'toascope_config_last_reload_success_timestamp_seconds', (self) =>
		self.set(facts.configReload().successAtMs / 1000),
	);
	computed(registry, 'toascope_http_listen_failures_total', () =>
		Object.entries(facts.listenFailures()).map(([endpoint, count]) => ({ labels: { endpoint }, value: Number(count) })),
	);
	computed(registry, 'toascope_task_failures_total', () =>
		facts.tasks().map(({ task, failures }) => ({ labels: { task }, value: failures })),
	);
	computed(registry, 'toascope_task_duration_seconds', (name) =>
		facts.tasks().flatMap(({ task, runs, seconds }) =>
			// a step is not timed
			runs === 0
				? []
				: [
						{ metricName: `${name}_sum`, labels: { task }, value: seconds },
						{ metricName: `${name}_count`, labels: { task }, value: runs },
					],
		),
	);
	computed(registry, 'toascope_log_lines_lost_total', () => [{ labels: {}, value: facts.logLinesDropped() }]);
}

/** Registers a metric whose samples are computed at each scrape. */
function computed(registry: Registry, metric: MetricName, read: (name: string) => readonly Sample[]): void {
	const { name, help, type } = metricDefinition(metric);
	const collector = { name, help, type, aggregator: 'sum', get: () => ({ ...collector, values: read(name) }) };
	// the registry accepts any object with get(); its type names only the library's own classes
	registry.registerMetric(collector as unknown as Gauge);
}

/** Registers the usual metrics about the process and its runtime. */
export function registerProcessMetrics(registry: Registry): void {
	collectDefaultMetrics({ register: registry });
	for (const name of unwanted) registry.removeSingleMetric(name);
}

function gauge(registry: Registry, metric: MetricName, collect: (self: Gauge<string>) => void): void {
	const { name, help, labels } = metricDefinition(metric);
	new Gauge<string>({
		name,
		help,
		labelNames: labels,
		registers: [registry],
		collect() {
			collect(this);
		},
	});
}

function counter(registry: Registry, metric: MetricName, collect: (self: Counter<string>) => void): void {
	const { name, help, labels } = metricDefinition(metric);
	new Counter<string>({
		name,
		help,
		labelNames: labels,
		registers: [registry],
		collect() {
			collect(this);
		},
	});
}
