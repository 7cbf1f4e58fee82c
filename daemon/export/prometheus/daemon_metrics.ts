// SPDX-License-Identifier: Apache-2.0
/**
 * The metrics that prom-client keeps itself: those of the daemon, and the usual process_* and
 * nodejs_*.
 */
import { collectDefaultMetrics, Gauge, type Registry } from 'prom-client';
import type { TaskStatistics } from '../../model/tasks.ts';
import { type MetricName, type MetricOf, metricDefinition } from '../metric_table.ts';
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

/** Registers a metric whose values are read from the daemon at each scrape. */
type Register = (registry: Registry, metric: MetricName, state: DaemonState) => void;

const metrics: Readonly<Record<MetricOf<'daemon'>, Register>> = {
	toascope_build_info: gauge((self, state) => self.set({ ...state.build }, 1)),
	toascope_provider_info: gauge((self, state) => {
		self.reset();
		const provider = state.provider();
		if (provider !== undefined) self.set({ ...provider }, 1);
	}),
	toascope_program_attached: gauge((self, state) => {
		self.reset();
		for (const { program, attached } of state.attachments().programs) self.set({ program }, Number(attached));
	}),
	toascope_attachments_lost_total: computed((state) =>
		Object.entries(state.attachments().lost).map(([attachment, times]) => ({ labels: { attachment }, value: times })),
	),
	toascope_config_last_reload_successful: gauge((self, state) => self.set(Number(state.configReload().successful))),
	toascope_config_last_reload_success_timestamp_seconds: gauge((self, state) =>
		self.set(state.configReload().successAtMs / 1000),
	),
	toascope_http_listen_failures_total: computed((state) =>
		Object.entries(state.listenFailures()).map(([endpoint, value]) => ({ labels: { endpoint }, value })),
	),
	toascope_task_failures_total: computed((state) =>
		state.tasks().map(({ task, failures }) => ({ labels: { task }, value: failures })),
	),
	toascope_task_duration_seconds: computed((state, name) =>
		state.tasks().flatMap(({ task, runs, seconds }) =>
			// a step is not timed
			runs === 0
				? []
				: [
						{ metricName: `${name}_sum`, labels: { task }, value: seconds },
						{ metricName: `${name}_count`, labels: { task }, value: runs },
					],
		),
	),
	toascope_log_lines_lost_total: computed((state) => [{ labels: {}, value: state.logLinesDropped() }]),
};

/** Registers the metrics about the daemon itself. */
export function registerDaemonMetrics(registry: Registry, state: DaemonState): void {
	for (const [metric, register] of Object.entries(metrics)) register(registry, metric as MetricOf<'daemon'>, state);
}

/** A gauge that is set at each scrape. */
function gauge(collect: (self: Gauge<string>, state: DaemonState) => void): Register {
	return (registry, metric, state) => {
		const { name, help, labels } = metricDefinition(metric);
		new Gauge<string>({
			name,
			help,
			labelNames: labels,
			registers: [registry],
			collect() {
				collect(this, state);
			},
		});
	};
}

/** A metric whose samples are computed at each scrape. */
function computed(read: (state: DaemonState, name: string) => readonly Sample[]): Register {
	return (registry, metric, state) => {
		const { name, help, type } = metricDefinition(metric);
		const collector = { name, help, type, aggregator: 'sum', get: () => ({ ...collector, values: read(state, name) }) };
		// the registry accepts any object with get(); its type names only the library's own classes
		registry.registerMetric(collector as unknown as Gauge);
	};
}

/** Registers the usual metrics about the process and its runtime. */
export function registerProcessMetrics(registry: Registry): void {
	collectDefaultMetrics({ register: registry });
	for (const name of unwanted) registry.removeSingleMetric(name);
}
