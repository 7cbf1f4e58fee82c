// SPDX-License-Identifier: Apache-2.0
/**
 * Opens the export of each signal that the configuration enables and the environment permits. What
 * is not sent is not loaded.
 */
import type { Logger } from 'pino';
import type { Config } from '../../config/config.ts';
import { logLine } from '../../log_line.ts';
import { logLines } from '../../log_lines.ts';
import type { Connection, ConnectionEvent, Owner } from '../../model/connection.ts';
import type { TraceIds } from '../../model/trace_ids.ts';
import { type OtelEnvironment, type OtelSignal, readOtelEnvironment } from '../../otel_environment.ts';
import { enabledSignals } from '../../otel_signals.ts';
import { withoutSecrets } from '../../secrets.ts';
import type { Metrics } from '../registry.ts';
import { HeadersFile } from './headers_file.ts';
import type { RecordExport } from './logs/record_export.ts';
import type { MetricExport } from './metrics/metric_export.ts';
import type { Receiver, SignalCodec } from './receiver.ts';
import { SignalHealth } from './signal_health.ts';
import type { SpanExport } from './spans/span_export.ts';

export interface TelemetryOptions {
	readonly config: Config['otel'];
	readonly metrics: Metrics;
	/** Converts CLOCK_MONOTONIC nanoseconds to nanoseconds since 1970. */
	readonly clock: (monotonicNs: bigint) => bigint;
	/** The ids of a connection's span. */
	readonly traceIds: (connection: Connection) => TraceIds;
	/** Sets which connections the kernel samples; see SpanSampling. */
	readonly setSampleThreshold: (threshold: bigint) => void;
	/** Returns the id of the owner's container; called when an owner is first seen and at close. */
	readonly resolveContainer: (owner: Owner) => string | undefined;
	/** Called for each span that is made. `endNs`: Unix nanoseconds. */
	readonly onSpan: (event: ConnectionEvent, ids: TraceIds, endNs: bigint) => void;
	readonly logger: Logger;
	/** Version of toascope. */
	readonly version: string;
	/** Identifies this daemon, also after a restart. */
	readonly instanceId: string;
	/** Called for a metric that could not be read; the export continues without it. */
	readonly onMetricError: (error: unknown, metric: string) => void;
}

/** What is sent; undefined: it is not. */
export interface Telemetry {
	readonly metrics: MetricExport | undefined;
	/** The interval between two exports of the metrics. */
	readonly metricIntervalMs: number;
	readonly spans: SpanExport | undefined;
	readonly records: RecordExport | undefined;
	/** One for each signal that is sent. */
	readonly health: readonly SignalHealth[];
	/** The variables that disable signals that the configuration enables, as `VARIABLE=value`. */
	readonly off: Readonly<Partial<Record<OtelSignal, string>>>;
}

/**
 * @throws {ToascopeError} CONFIG_INVALID for an endpoint that is not a URL, and for a file of headers
 * that cannot be used
 */
export async function openTelemetry(options: TelemetryOptions): Promise<Telemetry> {
	const { config, logger, version, instanceId } = options;
	const environment = readOtelEnvironment(process.env);
	const enabled = enabledSignals(config);
	const off = disabledSignals(enabled, environment, logger);
	const signals = enabled.filter((signal) => off[signal] === undefined);
	const health: SignalHealth[] = [];
	const { metricIntervalMs } = environment;
	if (signals.length === 0) {
		return { metrics: undefined, metricIntervalMs, spans: undefined, records: undefined, health, off };
	}

	const headers = config.headersFile === undefined ? undefined : new HeadersFile(config.headersFile);
	const { routeDiagnostics } = await import('./diagnostics.ts');
	// first: the packages report variables that they cannot use when they read them
	routeDiagnostics(logger, environment);
	const { openReceiver } = await import('./open_receiver.ts');
	const open = async <Items>(signal: OtelSignal, codec: SignalCodec<Items>, limitMs: number) => {
		const protocol = config.protocol ?? environment.signals[signal].protocol ?? 'http/protobuf';
		const receiver: Receiver<Items> = await openReceiver(
			{ signal, endpoint: config.endpoint, protocol, headers, limitMs, version },
			codec,
		);
		const one = new SignalHealth(signal, receiver.url, logger);
		health.push(one);
		logLine(logger, logLines.otlpStarted, { signal, protocol, url: withoutSecrets(receiver.url) });
		return { receiver, health: one };
	};
	const { createResource } = await import('./resource.ts');
	const resource = await createResource({ version, instanceId, detectors: environment.detectors });
	let metrics: MetricExport | undefined;
	let spans: SpanExport | undefined;
	let records: RecordExport | undefined;
	const { clock, traceIds, resolveContainer } = options;
	if (signals.includes('metrics')) {
		const [{ MetricExport }, { metricsCodec }] = await Promise.all([
			import('./metrics/metric_export.ts'),
			import('./encoded_codec.ts'),
		]);
		const { metrics: source, onMetricError: onError } = options;
		const { temporality, metricTimeoutMs: timeoutMs } = environment;
		const opened = await open('metrics', metricsCodec(resource, version), timeoutMs);
		metrics = new MetricExport({ ...opened, metrics: source, temporality, timeoutMs, onError });
	}
	if (signals.includes('traces')) {
		const [{ SpanExport }, { spansCodec }, { SpanSampling }] = await Promise.all([
			import('./spans/span_export.ts'),
			import('./encoded_codec.ts'),
			import('./spans/span_sampling.ts'),
		]);
		const { onSpan, setSampleThreshold: setThreshold } = options;
		const opened = await open('traces', spansCodec(resource, version), Number.POSITIVE_INFINITY);
		const { ratio } = config.sampling;
		const sampling = new SpanSampling({ ratio, setThreshold, relievesRing: !signals.includes('logs'), logger });
		const { spanBatches: batches } = environment;
		const from = { clock, traceIds, resolveContainer };
		spans = new SpanExport({ ...opened, ...from, batches, onSpan, sampling, logger });
	}
	if (signals.includes('logs')) {
		const [{ RecordExport }, { recordsCodec }] = await Promise.all([
			import('./logs/record_export.ts'),
			import('./encoded_codec.ts'),
		]);
		const opened = await open('logs', recordsCodec(resource, version), Number.POSITIVE_INFINITY);
		const { logBatches: batches } = environment;
		records = new RecordExport({ ...opened, batches, clock, traceIds, resolveContainer, logger });
	}
	return { metrics, metricIntervalMs, spans, records, health, off };
}

/** Logs the variables that cannot be used, and those that disable an enabled signal; returns the latter. */
function disabledSignals(
	enabled: readonly OtelSignal[],
	{ problems, signals }: OtelEnvironment,
	logger: Logger,
): Partial<Record<OtelSignal, string>> {
	// without a signal, a variable that is meant for other programs does not matter
	if (enabled.length === 0) return {};
	for (const problem of problems) logLine(logger, logLines.otelVariable, { ...problem });
	const off: Partial<Record<OtelSignal, string>> = {};
	for (const signal of enabled) {
		const { off: by } = signals[signal];
		if (by === undefined) continue;
		logLine(logger, logLines.otlpOff, { signal, by });
		off[signal] = by;
	}
	return off;
}
