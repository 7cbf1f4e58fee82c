// SPDX-License-Identifier: Apache-2.0
/** Requests and responses of the services of OTLP, in protobuf and in JSON, from encoded items. */
import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from '@bufbuild/protobuf';
import type { Resource } from '@opentelemetry/resources';
import type { EncodedItems } from './encoded_items.ts';
import type { MetricsRequest } from './metrics/requests.ts';
import { readResponse, toOtlpJson } from './otlp_json.ts';
import { InstrumentationScopeSchema } from './proto/common.gen.ts';
import { ExportLogsServiceRequestSchema, ExportLogsServiceResponseSchema } from './proto/logs_service.gen.ts';
import { ExportMetricsServiceRequestSchema, ExportMetricsServiceResponseSchema } from './proto/metrics_service.gen.ts';
import { ResourceSchema } from './proto/resource.gen.ts';
import { ExportTraceServiceRequestSchema, ExportTraceServiceResponseSchema } from './proto/trace_service.gen.ts';
import { lengthDelimited, varintBytes } from './protobuf_writer.ts';
import type { SignalCodec } from './receiver.ts';
import { resourceMessage } from './resource.ts';

/** What differs between the services. */
interface Service<Request extends DescMessage, Response extends DescMessage> {
	readonly request: Request;
	readonly response: Response;
	readonly rejected: (response: MessageShape<Response>) => {
		readonly count: bigint | undefined;
		readonly message: string | undefined;
	};
}

const metrics: Service<typeof ExportMetricsServiceRequestSchema, typeof ExportMetricsServiceResponseSchema> = {
	request: ExportMetricsServiceRequestSchema,
	response: ExportMetricsServiceResponseSchema,
	rejected: ({ partialSuccess }) => ({
		count: partialSuccess?.rejectedDataPoints,
		message: partialSuccess?.errorMessage,
	}),
};

const traces: Service<typeof ExportTraceServiceRequestSchema, typeof ExportTraceServiceResponseSchema> = {
	request: ExportTraceServiceRequestSchema,
	response: ExportTraceServiceResponseSchema,
	rejected: ({ partialSuccess }) => ({ count: partialSuccess?.rejectedSpans, message: partialSuccess?.errorMessage }),
};

const logs: Service<typeof ExportLogsServiceRequestSchema, typeof ExportLogsServiceResponseSchema> = {
	request: ExportLogsServiceRequestSchema,
	response: ExportLogsServiceResponseSchema,
	rejected: ({ partialSuccess }) => ({
		count: partialSuccess?.rejectedLogRecords,
		message: partialSuccess?.errorMessage,
	}),
};

/** Requests differ in size: the next ones should find room. */
const roomFactor = 1.25;

/** `version`: of toascope. */
export function metricsCodec(resource: Resource, version: string): SignalCodec<MetricsRequest> {
	const { serialize, readResponse } = encodedCodec(metrics, resource, version);
	return {
		serialize: (request, json) => serialize(request.metrics, json),
		readResponse,
		count: ({ points }) => points,
	};
}

/** `version`: of toascope. */
export function spansCodec(resource: Resource, version: string): SignalCodec<EncodedItems> {
	return encodedCodec(traces, resource, version);
}

/** `version`: of toascope. */
export function recordsCodec(resource: Resource, version: string): SignalCodec<EncodedItems> {
	return encodedCodec(logs, resource, version);
}

/** Field numbers: the messages around metrics, spans and log records have the same. */
const field = { ofResource: 1, resource: 1, ofScope: 2, scope: 1 } as const;

function encodedCodec<Request extends DescMessage, Response extends DescMessage>(
	{ request: schema, response, rejected }: Service<Request, Response>,
	resource: Resource,
	version: string,
): SignalCodec<EncodedItems> {
	const resourceField = fieldOf(field.resource, toBinary(ResourceSchema, resourceMessage(resource)));
	const scope = create(InstrumentationScopeSchema, { name: 'toascope', version });
	const scopeField = fieldOf(field.scope, toBinary(InstrumentationScopeSchema, scope));
	/**
	 * Every request is written here: it can have half a megabyte, and with one of each, 60 MB of them
	 * would await garbage collection. A signal has one request at a time; one that is given up is not
	 * needed any more, since its connections are ended.
	 */
	let request = Buffer.alloc(0);
	const encode = ({ fields }: EncodedItems): Buffer => {
		const scopeBytes = scopeField.length + fields.length;
		const resourceBytes = resourceField.length + sizeOf(scopeBytes);
		const size = sizeOf(resourceBytes);
		if (size > request.length) request = Buffer.allocUnsafeSlow(Math.ceil(size * roomFactor));
		const out = request.subarray(0, size);
		let at = writeHead(out, 0, field.ofResource, resourceBytes);
		at = append(out, at, resourceField);
		at = writeHead(out, at, field.ofScope, scopeBytes);
		at = append(out, at, scopeField);
		append(out, at, fields);
		return out;
	};
	return {
		serialize: (items, json) => (json ? toOtlpJson(schema, fromBinary(schema, encode(items))) : encode(items)),
		readResponse(body, json) {
			const { count = 0n, message = '' } = rejected(readResponse(response, body, json));
			return { rejected: Number(count), message };
		},
		count: ({ count }) => count,
	};
}

/** The bytes of a field with a message of so many bytes. */
function sizeOf(messageBytes: number): number {
	return 1 + varintBytes(messageBytes) + messageBytes;
}

/** Writes what precedes a message. Returns where it begins. */
function writeHead(out: Buffer, at: number, number: number, messageBytes: number): number {
	out[at] = lengthDelimited(number);
	let next = at + 1;
	let rest = messageBytes;
	for (; rest > 0x7f; rest >>>= 7) out[next++] = (rest & 0x7f) | 0x80;
	out[next++] = rest;
	return next;
}

function append(out: Buffer, at: number, bytes: Uint8Array): number {
	out.set(bytes, at);
	return at + bytes.length;
}

function fieldOf(number: number, message: Uint8Array): Buffer {
	const out = Buffer.alloc(sizeOf(message.length));
	append(out, writeHead(out, 0, number, message.length), message);
	return out;
}
