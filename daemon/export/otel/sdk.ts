// SPDX-License-Identifier: Apache-2.0
/** The OpenTelemetry SDK, set up for traces and nothing else, fed with closed connections. */
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
import { logLines, tell } from '../../log_lines.ts';
import type { ConnectionEvent } from '../../model/connection.ts';
import type { OtelEnvironment } from '../../otel_environment.ts';
import { withoutPassword } from '../../secrets.ts';
import { connectionSpan, SPAN_NAME, spanTime } from './connection_span.ts';
import { type BatchOutcome, createExporter, openWire, type Wire } from './exporter.ts';
import type { SpanExport, SpanOptions, SpanStats } from './spans.ts';

const SCOPE = 'toascope';

/** What the SDK has to say goes into our log. */
function routeDiagnostics(logger: Logger, { logLevel }: OtelEnvironment): void {
	const say =
		(level: 'warn' | 'info' | 'debug') =>
		(message: string, ...details: unknown[]) => {
			logger[level](details.length > 0 ? { details: details.map(String) } : {}, `OpenTelemetry: ${message}`);
		};
	diag.setLogger(
		{ error: say('warn'), warn: say('warn'), info: say('info'), debug: say('debug'), verbose: say('debug') },
		{
			logLevel: diagLogLevelFromString(logLevel) ?? DiagLogLevel.WARN,
			suppressOverrideMessage: true,
		},
	);
}

/** The variable that names the collector, where it holds no URL of HTTP: the SDK would send to another one. */
function unusableVariable({ endpoint }: OtelEnvironment): string | undefined {
	if (endpoint === undefined) return undefined;
	return /^https?:$/.test(URL.parse(endpoint.value)?.protocol ?? '') ? undefined : endpoint.variable;
}

async function openConfiguredWire({ protocol: chosen, endpoint }: SpanOptions, otel: OtelEnvironment): Promise<Wire> {
	const protocol = chosen ?? otel.protocol ?? 'http/protobuf';
	// over gRPC it may be HOST:PORT
	const unusable = endpoint === undefined && protocol !== 'grpc' ? unusableVariable(otel) : undefined;
	if (unusable !== undefined) {
		throw new ToascopeError('CONFIG_INVALID', `${unusable} is no URL of HTTP`, {
			hint: 'give a base URL, such as http://127.0.0.1:4318',
		});
	}
	try {
		return await openWire(protocol, endpoint);
	} catch (cause) {
		throw new ToascopeError('CONFIG_INVALID', `otel.endpoint: ${endpoint ?? 'OTEL_EXPORTER_OTLP_ENDPOINT'} is no URL`, {
			hint: 'give a base URL, such as http://127.0.0.1:4318',
			cause,
		});
	}
}

function createSdk(
	wire: Wire,
	version: string,
	otel: OtelEnvironment,
	settled: (outcome: BatchOutcome) => void,
): NodeSDK {
	const ours = resourceFromAttributes({ 'service.name': 'toascope', 'service.version': version });
	return new NodeSDK({
		resource: defaultResource().merge(ours),
		// Not the detector for our own process: its process.pid would stand beside the span's, which is the application's.
		...(!otel.choosesDetectors && {
			resourceDetectors: [envDetector, hostDetector, osDetector, serviceInstanceIdDetector],
		}),
		traceExporter: createExporter(wire, settled),
		// Empty and not left out: else the SDK starts those that the environment names, and it names OTLP by default.
		metricReaders: [],
		logRecordProcessors: [],
		instrumentations: [],
		textMapPropagator: null,
	});
}

/** What a shutdown may take to note what became of the requests that were given up. */
const closeMs = 200;

/** See {@link startSpans} in spans.ts. */
export async function startSdk(options: SpanOptions, otel: OtelEnvironment): Promise<SpanExport> {
	const { clock, resolveContainer, logger, version } = options;
	// only the sampler knows what is wanted, and it is asked by making a span: what takes all needs not be asked
	const { maxQueue: maxPending, samplesAll } = otel;
	let pending = 0;
	let exported = 0n;
	let queueFull = 0n;
	let exportFailed = 0n;
	let failing = false;
	let ending: Promise<void> | undefined;

	function settled(outcome: BatchOutcome): void {
		pending -= outcome.exported + outcome.failed;
		exported += BigInt(outcome.exported);
		exportFailed += BigInt(outcome.failed);
		// A collector that is down is told once, not with every batch.
		if (outcome.error !== undefined && !failing) {
			tell(logger, logLines.spansNotReaching, { err: outcome.error, spans: outcome.failed });
		} else if (outcome.error === undefined && failing) {
			tell(logger, logLines.spansReaching, { lost: exportFailed + queueFull });
		}
		failing = outcome.error !== undefined;
	}

	routeDiagnostics(logger, otel);
	const wire = await openConfiguredWire(options, otel);
	diag.disable(); // the SDK's constructor may set a console logger, and complains if it finds another
	const sdk = createSdk(wire, version, otel, settled);
	routeDiagnostics(logger, otel);
	sdk.start();
	const tracer = trace.getTracer(SCOPE, version);
	tell(logger, logLines.exportingSpans, { url: withoutPassword(wire.url) });

	function onEvent({ type, connection }: ConnectionEvent): void {
		if (ending !== undefined || connection.client === undefined) return;
		// Asked for early, while the process is there to be looked at; the answer is remembered.
		const containerId = connection.owner === undefined ? undefined : resolveContainer(connection.owner);
		if (type !== 'closed') return;
		// Checked here, over queue and requests together: the SDK's queue drops spans without a word, and so never fills.
		const full = pending >= maxPending;
		if (full && samplesAll) {
			queueFull++;
			return;
		}
		// the attributes come later: to make them takes longer than all the rest, and most may not be wanted
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
			// it is in no queue: else it would keep its room there for ever
			pending--;
			exportFailed++;
			throw error;
		}
	}

	async function end(timeoutMs: number): Promise<void> {
		const before = exportFailed;
		const closing = setTimeout(() => wire.transport.close(), timeoutMs);
		// the SDK waits for timers and channels of its own as well, which a busy machine delays
		const ended = await withinMs(sdk.shutdown(), timeoutMs + closeMs);
		clearTimeout(closing);
		wire.transport.close();
		const lost = exportFailed - before + (ended ? 0n : BigInt(pending));
		if (lost > 0n) tell(logger, logLines.spansLost, { spans: lost });
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
