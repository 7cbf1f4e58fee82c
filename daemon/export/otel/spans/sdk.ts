// SPDX-License-Identifier: Apache-2.0
/** The OpenTelemetry SDK, configured for traces only; its input is closed connections. */
import {
	context,
	createTraceState,
	diag,
	logs,
	ROOT_CONTEXT,
	SpanKind,
	SpanStatusCode,
	type TraceState,
	trace,
} from '@opentelemetry/api';
import type { Resource } from '@opentelemetry/resources';
import { NodeSDK } from '@opentelemetry/sdk-node';
import {
	BatchSpanProcessor,
	type IdGenerator,
	type Sampler,
	SamplingDecision,
	type SamplingResult,
	type SpanExporter,
} from '@opentelemetry/sdk-trace';
import { withinMs } from '../../../deadline.ts';
import { logLine } from '../../../log_line.ts';
import { logLines } from '../../../log_lines.ts';
import type { ConnectionEvent } from '../../../model/connection.ts';
import { formatThreshold, sampleAll } from '../../../model/sampling.ts';
import type { TraceIds } from '../../../model/trace_ids.ts';
import type { OtelEnvironment } from '../../../otel_environment.ts';
import type { BatchOutcome } from '../batch_sender.ts';
import { routeDiagnostics } from '../diagnostics.ts';
import { connectionSpan, SPAN_NAME, spanStartAttributes, spanTime } from './connection_span.ts';
import { createExporter } from './exporter.ts';
import type { SpanExport, SpanOptions, SpanStats } from './span_export.ts';

const SCOPE = 'toascope';

/** Which connections have a span is decided before one is started: this adds their threshold to it. */
class ThresholdSampler implements Sampler {
	readonly #states = new Map<bigint, TraceState>();
	/** The next span that is started carries it. */
	threshold = sampleAll;

	shouldSample(): SamplingResult {
		return { decision: SamplingDecision.RECORD_AND_SAMPLED, traceState: this.#state() };
	}

	/** Thresholds are few: the configured one, and its halvings. */
	#state(): TraceState {
		let state = this.#states.get(this.threshold);
		if (state === undefined) {
			if (this.#states.size >= 100) this.#states.clear();
			state = createTraceState(`ot=th:${formatThreshold(this.threshold)}`);
			this.#states.set(this.threshold, state);
		}
		return state;
	}
}

function createSdk(
	exporter: SpanExporter,
	resource: Resource,
	chosen: { readonly idGenerator: IdGenerator; readonly sampler: Sampler },
	{ maxQueue, maxBatch, batchDelayMs }: OtelEnvironment,
): NodeSDK {
	const batches = new BatchSpanProcessor({
		exporter,
		maxQueueSize: maxQueue,
		maxExportBatchSize: maxBatch,
		scheduledDelayMillis: batchDelayMs,
		// no limit: the exporter keeps a batch until the receiver has accepted it
		exportTimeoutMillis: 2 ** 31 - 1,
	});
	return new NodeSDK({
		...chosen,
		resource,
		autoDetectResources: false,
		spanProcessors: [batches],
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

/**
 * Starts the export. Load this module only if spans are sent: the SDK needs some 20 MB of memory.
 */
export function startSdk({ receiver, health, ...options }: SpanOptions): SpanExport {
	const { clock, traceIds, resolveContainer, onSpan, logger, version, environment, sampling } = options;
	const { maxQueue: maxPending } = environment;
	let pending = 0;
	let queueFull = 0n;
	let exportFailed = 0n;
	let ending: Promise<void> | undefined;

	const exporter = createExporter(receiver, health, (outcome: BatchOutcome) => {
		pending -= outcome.exported + outcome.failed;
		exportFailed += BigInt(outcome.failed);
	});
	diag.disable(); // the SDK's constructor can set a console logger, and warns if it replaces another
	/** The ids of the span that is being started. */
	let ids: TraceIds = { traceId: '', spanId: '' };
	const idGenerator = { generateTraceId: () => ids.traceId, generateSpanId: () => ids.spanId };
	const sampler = new ThresholdSampler();
	const sdk = createSdk(exporter, options.resource, { idGenerator, sampler }, environment);
	routeDiagnostics(logger, environment);
	sdk.start();
	const tracer = trace.getTracer(SCOPE, version);

	function onEvent(event: ConnectionEvent): void {
		const { type, connection } = event;
		if (ending !== undefined || connection.client === undefined) return;
		const threshold = sampling.admit(event, pending / maxPending);
		if (threshold === undefined) return;
		// resolved early, while the process still exists; the result is cached
		const containerId = connection.owner === undefined ? undefined : resolveContainer(connection.owner);
		if (type !== 'closed') return;
		// checked here for queue and requests together, so that the SDK's queue, which drops spans
		// silently, never fills
		if (pending >= maxPending) {
			queueFull++;
			return;
		}
		// INTERNAL: a root of kind SERVER would make toascope a service of its own in service graphs,
		// with the rate of the server's connections
		const startTime = spanTime(clock(connection.openedNs));
		ids = traceIds(connection);
		sampler.threshold = threshold;
		const options = { kind: SpanKind.INTERNAL, startTime, attributes: spanStartAttributes(connection) };
		const span = tracer.startSpan(SPAN_NAME, options, ROOT_CONTEXT);
		const shape = connectionSpan(connection, clock, containerId);
		if (shape === undefined) return;
		pending++;
		try {
			const { endNs, attributes, events } = shape;
			span.setAttributes(attributes);
			if (connection.error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR });
			for (const { name, time } of events) span.addEvent(name, time);
			span.end(spanTime(endNs));
		} catch (error) {
			// the span is in no queue: it would otherwise count as pending forever
			pending--;
			exportFailed++;
			throw error;
		}
		onSpan(event, ids, shape.endNs);
	}

	async function end(timeoutMs: number): Promise<void> {
		const before = exportFailed;
		const closing = setTimeout(() => exporter.abort(), timeoutMs);
		// the SDK also waits for timers of its own, which a busy machine delays
		const ended = await withinMs(sdk.shutdown(), timeoutMs + closeMs);
		clearTimeout(closing);
		exporter.abort();
		const lost = exportFailed - before + (ended ? 0n : BigInt(pending));
		if (lost > 0n) logLine(logger, logLines.spansLost, { spans: lost });
		trace.disable();
		context.disable();
		logs.disable();
	}

	return {
		sampling,
		onEvent,
		stats: (): SpanStats => ({ pending, dropped: { span_queue_full: queueFull, span_export_failed: exportFailed } }),
		shutdown(timeoutMs) {
			ending ??= end(timeoutMs);
			return ending;
		},
	};
}
