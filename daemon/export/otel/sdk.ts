// SPDX-License-Identifier: Apache-2.0
/** The OpenTelemetry SDK, configured for traces only; its input is closed connections. */
import { context, DiagLogLevel, diag, logs, ROOT_CONTEXT, SpanKind, TraceFlags, trace } from '@opentelemetry/api';
import { diagLogLevelFromString } from '@opentelemetry/core';
import {
	defaultResource,
	envDetector,
	hostDetector,
	osDetector,
	resourceFromAttributes,
	serviceInstanceIdDetector,
} from '@opentelemetry/resources';
import { NodeSDK } from '@opentelemetry/sdk-node';
import type { Logger } from 'pino';
import { withinMs } from '../../deadline.ts';
import { ToascopeError } from '../../errors.ts';
import { logLine } from '../../log_line.ts';
import { logLines } from '../../log_lines.ts';
import type { ConnectionEvent } from '../../model/connection.ts';
import type { OtelEnvironment } from '../../otel_environment.ts';
import { withoutPassword } from '../../secrets.ts';
import { connectionSpan, SPAN_NAME, spanTime } from './connection_span.ts';
import { type BatchOutcome, type CollectorConnection, createExporter, openCollectorConnection } from './exporter.ts';
import type { SpanExport, SpanOptions, SpanStats } from './span_export.ts';

const SCOPE = 'toascope';

/** Routes the diagnostics of the SDK to our log. */
function routeDiagnostics(logger: Logger, { logLevel }: OtelEnvironment): void {
	const log =
		(level: 'warn' | 'info' | 'debug') =>
		(message: string, ...details: unknown[]) => {
			logger[level](details.length > 0 ? { details: details.map(String) } : {}, `OpenTelemetry: ${message}`);
		};
	diag.setLogger(
		{ error: log('warn'), warn: log('warn'), info: log('info'), debug: log('debug'), verbose: log('debug') },
		{
			logLevel: diagLogLevelFromString(logLevel) ?? DiagLogLevel.WARN,
			suppressOverrideMessage: true,
		},
	);
}

/**
 * The variable that names the collector, if its value is not an HTTP URL: the SDK would then send
 * to another collector.
 */
function unusableVariable({ endpoint }: OtelEnvironment): string | undefined {
	if (endpoint === undefined) return undefined;
	return /^https?:$/.test(URL.parse(endpoint.value)?.protocol ?? '') ? undefined : endpoint.variable;
}

async function openConfiguredConnection(
	{ protocol: chosen, endpoint }: SpanOptions,
	otel: OtelEnvironment,
): Promise<CollectorConnection> {
	const protocol = chosen ?? otel.protocol ?? 'http/protobuf';
	// with gRPC it can be HOST:PORT
	const unusable = endpoint === undefined && protocol !== 'grpc' ? unusableVariable(otel) : undefined;
	if (unusable !== undefined) {
		throw new ToascopeError('CONFIG_INVALID', `${unusable} is not an HTTP URL`, {
			hint: 'give a base URL, such as http://127.0.0.1:4318',
		});
	}
	try {
		return await openCollectorConnection(protocol, endpoint);
	} catch (cause) {
		throw new ToascopeError(
			'CONFIG_INVALID',
			`otel.endpoint: ${endpoint ?? 'OTEL_EXPORTER_OTLP_ENDPOINT'} is not a URL`,
			{ hint: 'give a base URL, such as http://127.0.0.1:4318', cause },
		);
	}
}

function createSdk(
	collector: CollectorConnection,
	version: string,
	otel: OtelEnvironment,
	onBatchDone: (outcome: BatchOutcome) => void,
): NodeSDK {
	const resource = resourceFromAttributes({ 'service.name': 'toascope', 'service.version': version });
	return new NodeSDK({
		resource: defaultResource().merge(resource),
		// without the detector for our own process: its process.pid would appear beside that of the
		// span, which is the application's
		...(!otel.setsDetectors && {
			resourceDetectors: [envDetector, hostDetector, osDetector, serviceInstanceIdDetector],
		}),
		traceExporter: createExporter(collector, onBatchDone),
		// empty rather than omitted: otherwise the SDK starts those that the environment names, by
		// default OTLP
		metricReaders: [],
		logRecordProcessors: [],
		instrumentations: [],
		textMapPropagator: null,
	});
}

/** Additional milliseconds for a shutdown to record the outcome of requests that it cancelled. */
const closeMs = 200;

/** See {@link startSpans} in spans.ts. */
export async function startSdk(options: SpanOptions, otel: OtelEnvironment): Promise<SpanExport> {
	const { clock, resolveContainer, logger, version } = options;
	// only the sampler knows which spans are wanted, and only starting a span calls it: a sampler
	// that takes all spans need not be called
	const { maxQueue: maxPending, samplesAll } = otel;
	let pending = 0;
	let exported = 0n;
	let queueFull = 0n;
	let exportFailed = 0n;
	let failing = false;
	let ending: Promise<void> | undefined;

	function onBatchDone(outcome: BatchOutcome): void {
		pending -= outcome.exported + outcome.failed;
		exported += BigInt(outcome.exported);
		exportFailed += BigInt(outcome.failed);
		// a collector that is down is logged once, not with every batch
		if (outcome.error !== undefined && !failing) {
			logLine(logger, logLines.spansNotReaching, { err: outcome.error, spans: outcome.failed });
		} else if (outcome.error === undefined && failing) {
			logLine(logger, logLines.spansReaching, { lost: exportFailed + queueFull });
		}
		failing = outcome.error !== undefined;
	}

	routeDiagnostics(logger, otel);
	const collector = await openConfiguredConnection(options, otel);
	diag.disable(); // the SDK's constructor can set a console logger, and warns if it replaces another
	const sdk = createSdk(collector, version, otel, onBatchDone);
	routeDiagnostics(logger, otel);
	sdk.start();
	const tracer = trace.getTracer(SCOPE, version);
	logLine(logger, logLines.exportingSpans, { url: withoutPassword(collector.url) });

	function onEvent({ type, connection }: ConnectionEvent): void {
		if (ending !== undefined || connection.client === undefined) return;
		// resolved early, while the process still exists; the result is cached
		const containerId = connection.owner === undefined ? undefined : resolveContainer(connection.owner);
		if (type !== 'closed') return;
		// checked here for queue and requests together, so that the SDK's queue, which drops spans
		// silently, never fills
		const full = pending >= maxPending;
		if (full && samplesAll) {
			queueFull++;
			return;
		}
		// attributes are set later: they cost more than all the rest, and the sampler can reject
		// most spans
		const startTime = spanTime(clock(connection.openedNs));
		const span = tracer.startSpan(SPAN_NAME, { kind: SpanKind.SERVER, startTime }, ROOT_CONTEXT);
		if ((span.spanContext().traceFlags & TraceFlags.SAMPLED) === 0) return;
		if (full) {
			queueFull++;
			return;
		}
		const shape = connectionSpan(connection, clock, containerId);
		if (shape === undefined) return;
		pending++;
		try {
			const { end, attributes, events } = shape;
			span.setAttributes(attributes);
			for (const event of events) span.addEvent(event.name, event.time);
			span.end(end);
		} catch (error) {
			// the span is in no queue: it would otherwise count as pending forever
			pending--;
			exportFailed++;
			throw error;
		}
	}

	async function end(timeoutMs: number): Promise<void> {
		const before = exportFailed;
		const closing = setTimeout(() => collector.transport.close(), timeoutMs);
		// the SDK also waits for timers and channels of its own, which a busy machine delays
		const ended = await withinMs(sdk.shutdown(), timeoutMs + closeMs);
		clearTimeout(closing);
		collector.transport.close();
		const lost = exportFailed - before + (ended ? 0n : BigInt(pending));
		if (lost > 0n) logLine(logger, logLines.spansLost, { spans: lost });
		trace.disable();
		context.disable();
		logs.disable();
		diag.disable();
	}

	return {
		onEvent,
		stats: (): SpanStats => ({
			exported,
			pending,
			dropped: { span_queue_full: queueFull, span_export_failed: exportFailed },
		}),
		shutdown(timeoutMs) {
			ending ??= end(timeoutMs);
			return ending;
		},
	};
}
