// SPDX-License-Identifier: Apache-2.0
/** Telemetry over OTLP: metrics, spans, connection records. */
import type { LogLine } from '../log_line.ts';

export const otlpLines = {
	otlpStarted: {
		level: 'info',
		text: 'sending telemetry over OTLP',
		meaning:
			'`signal` is sent to `url`: `metrics` (every metric of `/metrics`), `traces` (a span for each connection with TOA), `logs` (a record of each such connection).',
		fields: ['signal', 'protocol', 'url'],
	},
	otlpOff: {
		level: 'warn',
		text: 'telemetry is not sent: the environment disables it',
		meaning:
			'The configuration enables `signal` (`otel.metrics`, `otel.spans`, `otel.logs`); `by` is the variable that disables it: `OTEL_SDK_DISABLED`, `OTEL_METRICS_EXPORTER`, `OTEL_TRACES_EXPORTER`, `OTEL_LOGS_EXPORTER` or `OTEL_TRACES_SAMPLER`.',
		fields: ['signal', 'by'],
	},
	otelVariable: {
		level: 'error',
		text: 'an OpenTelemetry variable cannot be used',
		meaning: '`message` says which values are allowed, and what is used instead.',
		fields: ['variable', 'value', 'message'],
	},
	otlpFailing: {
		level: 'warn',
		text: 'telemetry is not reaching the OTLP receiver',
		meaning:
			'Logged when requests begin to fail. `toascope_otlp_failed_requests_total` counts them. Metrics are totals: the next request that is accepted has what these had. Spans and connection records wait in their queues; `toascope_drops_total` counts those that were dropped.',
		fields: ['signal', 'url', 'err'],
	},
	otlpSucceeding: {
		level: 'info',
		text: 'telemetry is reaching the OTLP receiver again',
		meaning: 'Its last request was accepted.',
		fields: ['signal', 'url'],
	},
	otlpRejected: {
		level: 'warn',
		text: 'the OTLP receiver rejected a part of a request',
		meaning:
			'Logged once a minute. `rejected` data points, spans or connection records of an accepted request were rejected (partial success): `toascope_otlp_rejected_total` counts them. `rejected` 0: the receiver only warns.',
		fields: ['signal', 'url', 'rejected', 'reason'],
	},
	spansSampledDown: {
		level: 'warn',
		text: 'fewer connections have a span: they close faster than spans can be sent',
		meaning:
			'Logged when the ratio in force becomes lower than `otel.sampling.ratio` (`configured`), because the daemon or the receiver is too slow. Spans carry the ratio in force, so what backends sum up stays right. `toascope_span_sampling_ratio` shows it. Counters are not affected.',
		fields: ['connections_per_second', 'ratio', 'configured'],
	},
	spansSampledAgain: {
		level: 'info',
		text: 'as many connections have a span as configured again',
		meaning: '`otel.sampling.ratio` is in force.',
		fields: ['ratio'],
	},
	spansLost: {
		level: 'warn',
		text: 'spans were lost while stopping',
		meaning: 'The receiver did not accept them within the second that a stop waits for it.',
		fields: ['spans'],
	},
	recordsLost: {
		level: 'warn',
		text: 'connection records were lost while stopping',
		meaning: 'The receiver did not accept them within the second that a stop waits for it.',
		fields: ['records'],
	},
} as const satisfies Record<string, LogLine>;
