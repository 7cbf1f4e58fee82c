// SPDX-License-Identifier: Apache-2.0
/** The metrics that describe the daemon itself. */
import type { TaskStatistics } from '../model/tasks.ts';
import type { OtelSignal } from '../otel_environment.ts';
import type { MetricOf } from './metric_table.ts';
import { byLabel, integer, type Point, summary, time } from './point.ts';

/** What the exporters read from the daemon, anew each time. */
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
	/** Statistics of each signal that is sent over OTLP. */
	otlp(): readonly OtlpStatistics[];
	/** The part of the connections that have a span, from 0 to 1; undefined: spans are not sent. */
	spanRatio(): number | undefined;
	/** For how long closed connections can be looked up; undefined: none can. */
	retainedNs(): bigint | undefined;
}

/** What became of a signal's telemetry since the daemon's start. */
export interface OtlpStatistics {
	readonly signal: OtelSignal;
	/** Data points, spans or log records that the receiver accepted. */
	readonly exported: bigint;
	/** Those that it rejected in a request that it accepted (partial success). */
	readonly rejected: bigint;
	/** Requests that failed, after their retries. */
	readonly failedRequests: bigint;
}

type Read = (state: DaemonState) => readonly Point[];

export const daemonPoints: Readonly<Record<MetricOf<'daemon'>, Read>> = {
	toascope_build_info: ({ build }) => [{ labels: { ...build }, value: integer(1) }],
	toascope_provider_info: (state) => {
		const provider = state.provider();
		return provider === undefined ? [] : [{ labels: { ...provider }, value: integer(1) }];
	},
	toascope_program_attached: (state) =>
		state.attachments().programs.map(({ program, attached }) => ({ labels: { program }, value: flag(attached) })),
	toascope_attachments_lost_total: (state) => byLabel('attachment', state.attachments().lost),
	toascope_config_last_reload_successful: (state) => [{ labels: {}, value: flag(state.configReload().successful) }],
	toascope_config_last_reload_success_timestamp_seconds: (state) => [
		{ labels: {}, value: time(BigInt(state.configReload().successAtMs) * 1_000_000n) },
	],
	toascope_http_listen_failures_total: (state) => byLabel('endpoint', state.listenFailures()),
	toascope_task_failures_total: (state) =>
		state.tasks().map(({ task, failures }) => ({ labels: { task }, value: integer(failures) })),
	toascope_task_duration_seconds: (state) =>
		state
			.tasks()
			// a step is not timed
			.filter(({ runs }) => runs > 0)
			.map(({ task, runs, seconds }) => ({ labels: { task }, value: summary(nsOf(seconds), BigInt(runs)) })),
	toascope_log_lines_lost_total: (state) => [{ labels: {}, value: integer(state.logLinesDropped()) }],
	toascope_data_points_exported_total: exportedOf('metrics'),
	toascope_spans_exported_total: exportedOf('traces'),
	toascope_log_records_exported_total: exportedOf('logs'),
	toascope_connection_retained_seconds: (state) => {
		const ns = state.retainedNs();
		return ns === undefined ? [] : [{ labels: {}, value: time(ns) }];
	},
	toascope_span_sampling_ratio: (state) => {
		const ratio = state.spanRatio();
		return ratio === undefined ? [] : [{ labels: {}, value: { type: 'float', value: ratio } }];
	},
	toascope_otlp_rejected_total: ofSignals('rejected'),
	toascope_otlp_failed_requests_total: ofSignals('failedRequests'),
};

const flag = (value: boolean) => integer(Number(value));

const nsOf = (seconds: number) => BigInt(Math.round(seconds * 1e9));

function exportedOf(signal: OtelSignal): Read {
	return (state) =>
		state
			.otlp()
			.filter((one) => one.signal === signal)
			.map(({ exported }) => ({ labels: {}, value: integer(exported) }));
}

function ofSignals(field: 'rejected' | 'failedRequests'): Read {
	return (state) => state.otlp().map(({ signal, [field]: count }) => ({ labels: { signal }, value: integer(count) }));
}
