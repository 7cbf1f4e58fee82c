// SPDX-License-Identifier: Apache-2.0
/** Encoded spans, beside those that the OpenTelemetry SDK makes of the same connection. */
import { fromBinary, toJson } from '@bufbuild/protobuf';
import { context, createTraceState, ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { InMemorySpanExporter, SamplingDecision, SimpleSpanProcessor } from '@opentelemetry/sdk-trace';
import { expect, it } from 'vitest';
import type { AttributeValue } from '../../../../../daemon/export/otel/connection_attributes.ts';
import { SpanSchema } from '../../../../../daemon/export/otel/proto/trace.gen.ts';
import { ExportTraceServiceRequestSchema } from '../../../../../daemon/export/otel/proto/trace_service.gen.ts';
import { type ConnectionSpan, SpanWriter } from '../../../../../daemon/export/otel/spans/span_writer.ts';
import { listed } from '../../../../kit/telemetry/spans.ts';

type Span = Omit<ConnectionSpan, 'attributes'> & { readonly attributes: Readonly<Record<string, AttributeValue>> };

const span: Span = {
	name: 'TCP connection',
	traceId: '0af7651916cd43dd8448eb211c80319c',
	spanId: 'b7ad6b7169203331',
	traceState: 'ot=th:c',
	startNs: 1_795_400_000_123_456_789n,
	endNs: 1_795_400_003_999_999_999n,
	isError: false,
	attributes: { 'client.address': '2001:db8::1', 'client.port': 51_234n, 'toascope.rtt_seconds': 0.012345 },
	events: [{ name: 'accepted', timeNs: 1_795_400_000_223_456_789n }],
};

const timeOf = (ns: bigint): [number, number] => [Number(ns / 1_000_000_000n), Number(ns % 1_000_000_000n)];

/** The span as the SDK makes it, decoded. */
async function bySdk({ traceId, spanId, ...of }: Span) {
	const finished = new InMemorySpanExporter();
	const sdk = new NodeSDK({
		autoDetectResources: false,
		spanProcessors: [new SimpleSpanProcessor({ exporter: finished })],
		idGenerator: { generateTraceId: () => traceId, generateSpanId: () => spanId },
		sampler: {
			shouldSample: () => ({
				decision: SamplingDecision.RECORD_AND_SAMPLED,
				traceState: createTraceState(of.traceState),
			}),
		},
		metricReaders: [],
		logRecordProcessors: [],
		instrumentations: [],
		textMapPropagator: null,
	});
	sdk.start();
	const options = { kind: SpanKind.INTERNAL, startTime: timeOf(of.startNs) };
	const one = trace.getTracer('toascope').startSpan(of.name, options, ROOT_CONTEXT);
	// the SDK has no 64-bit integers
	for (const [name, value] of Object.entries(of.attributes)) {
		one.setAttribute(name, typeof value === 'bigint' ? Number(value) : value);
	}
	for (const { name, timeNs } of of.events) one.addEvent(name, timeOf(timeNs));
	if (of.isError) one.setStatus({ code: SpanStatusCode.ERROR });
	one.end(timeOf(of.endNs));
	const request = ProtobufTraceSerializer.serializeRequest(finished.getFinishedSpans());
	await sdk.shutdown();
	trace.disable();
	context.disable();
	const [decoded] = fromBinary(ExportTraceServiceRequestSchema, request ?? new Uint8Array()).resourceSpans.flatMap(
		({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans),
	);
	if (decoded === undefined) throw new Error('the SDK made no span');
	return decoded;
}

const encodable = ({ attributes, ...one }: Span): ConnectionSpan => ({ ...one, attributes: listed(attributes) });

const randomFlag = 0x02;

it.each<[string, Partial<Span>]>([
	['a connection', {}],
	['one that ended with an error', { isError: true, attributes: { ...span.attributes, 'error.type': 'ECONNRESET' } }],
	['one that was not accepted', { events: [] }],
	[
		'numbers at the bounds of their bytes',
		{ attributes: { a: 0n, b: 127n, c: 128n, d: 2n ** 32n, e: 2n ** 53n - 1n, f: 0.5 } },
	],
	['a text that is not ASCII', { attributes: { 'process.executable.name': 'naïve ☃' } }],
	['a long text', { attributes: { long: 'x'.repeat(20_000) } }],
])('%s: the same as by the SDK, but that the trace id is random', async (_, change) => {
	const changed = { ...span, ...change };
	const ours = fromBinary(SpanSchema, new SpanWriter().encode(encodable(changed)).written);
	const theirs = await bySdk(changed);
	expect(ours.flags).toBe(theirs.flags | randomFlag);
	// the SDK writes a status that says nothing
	if (theirs.status?.code === 0) delete theirs.status;
	theirs.flags = ours.flags;
	expect(toJson(SpanSchema, ours)).toEqual(toJson(SpanSchema, theirs));
});

it('a 64-bit integer is exact', () => {
	const attributes = { 'toascope.sent_bytes': 2n ** 63n - 1n };
	const [sent] = fromBinary(SpanSchema, new SpanWriter().encode(encodable({ ...span, attributes })).written).attributes;
	expect(sent?.value?.value).toEqual({ case: 'intValue', value: 2n ** 63n - 1n });
});

it('is the same after others', () => {
	const writer = new SpanWriter();
	const first = Buffer.from(writer.encode(encodable(span)).written);
	writer.encode(encodable({ ...span, attributes: { long: 'x'.repeat(20_000) } }));
	expect(Buffer.from(writer.encode(encodable(span)).written)).toEqual(first);
});
