// SPDX-License-Identifier: Apache-2.0
/** What prom-client keeps itself: the daemon's own gauges and the usual process_* and nodejs_*. */
import { Counter, collectDefaultMetrics, Gauge, type Registry } from 'prom-client';
import { type MetricName, metricDefinition } from '../metric_table.ts';

/** What the exporter asks of the daemon; read again at each scrape. */
export interface DaemonFacts {
	/** Versions. */
	readonly build: { readonly version: string; readonly node: string; readonly libbpf: string };
	/** Undefined while nothing is attached. */
	provider(): { readonly provider: string; readonly kernel: string; readonly mode: string } | undefined;
	/** Of the last load of the configuration, and when one last succeeded (Unix milliseconds). */
	configReload(): { readonly successful: boolean; readonly successAtMs: number };
	/** Attempts to listen that failed, by endpoint: `listen`, `socket`. */
	listenFailures(): Readonly<Record<string, bigint>>;
}

/**
 * Defaults of prom-client that promtool objects to: gauges called `_total`, types in names. The
 * numbers are in others (`nodejs_active_resources`, `nodejs_eventloop_lag_*`).
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

/** Registers the gauges about the daemon itself. */
export function registerDaemonMetrics(registry: Registry, facts: DaemonFacts): void {
	gauge(registry, 'toascope_build_info', (self) => self.set({ ...facts.build }, 1));
	gauge(registry, 'toascope_provider_info', (self) => {
		self.reset();
		const provider = facts.provider();
		if (provider !== undefined) self.set({ ...provider }, 1);
	});
	gauge(registry, 'toascope_config_last_reload_successful', (self) =>
		self.set(Number(facts.configReload().successful)),
	);
	gauge(registry, 'toascope_config_last_reload_success_timestamp_seconds', (self) =>
		self.set(facts.configReload().successAtMs / 1000),
	);
	const failures = metricDefinition('toascope_http_listen_failures_total');
	new Counter<string>({
		name: failures.name,
		help: failures.help,
		labelNames: failures.labels,
		registers: [registry],
		collect() {
			this.reset();
			for (const [endpoint, count] of Object.entries(facts.listenFailures())) this.inc({ endpoint }, Number(count));
		},
	});
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
