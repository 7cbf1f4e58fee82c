// SPDX-License-Identifier: Apache-2.0
/** Requests and responses of the trace and logs services, in protobuf and in JSON, from encoded items. */
import {
	create,
	type DescMessage,
	fromBinary,
	fromJsonString,
	type MessageShape,
	toBinary,
	toJson,
} from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Resource } from '@opentelemetry/resources';
import { InstrumentationScopeSchema } from './proto/common.gen.ts';
import { ExportLogsServiceRequestSchema, ExportLogsServiceResponseSchema } from './proto/logs_service.gen.ts';
import { ResourceSchema } from './proto/resource.gen.ts';
import { ExportTraceServiceRequestSchema, ExportTraceServiceResponseSchema } from './proto/trace_service.gen.ts';
import type { SignalCodec } from './receiver.ts';
import { resourceMessage } from './resource.ts';

/** Encoded spans or log records: messages Span or LogRecord. */
export type EncodedItems = readonly Uint8Array[];

/** What differs between the services. */
interface Service<Request extends DescMessage, Response extends DescMessage> {
	readonly request: Request;
	readonly response: Response;
	readonly rejected: (response: MessageShape<Response>) => {
		readonly count: bigint | undefined;
		readonly message: string | undefined;
	};
}

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

/** `version`: of toascope. */
export function spansCodec(resource: Resource, version: string): SignalCodec<EncodedItems> {
	return encodedCodec(traces, resource, version);
}

/** `version`: of toascope. */
export function recordsCodec(resource: Resource, version: string): SignalCodec<EncodedItems> {
	return encodedCodec(logs, resource, version);
}

/** Field numbers: the messages around spans have the same as those around log records. */
const field = { ofResource: 1, resource: 1, ofScope: 2, scope: 1, item: 2 } as const;

function encodedCodec<Request extends DescMessage, Response extends DescMessage>(
	{ request, response, rejected }: Service<Request, Response>,
	resource: Resource,
	version: string,
): SignalCodec<EncodedItems> {
	const resourceBytes = toBinary(ResourceSchema, resourceMessage(resource));
	const scopeBytes = toBinary(
		InstrumentationScopeSchema,
		create(InstrumentationScopeSchema, { name: 'toascope', version }),
	);
	const encode = (items: EncodedItems): Uint8Array<ArrayBuffer> => {
		const writer = new BinaryWriter();
		const message = (number: number) => writer.tag(number, WireType.LengthDelimited);
		message(field.ofResource).fork();
		message(field.resource).bytes(resourceBytes);
		message(field.ofScope).fork();
		message(field.scope).bytes(scopeBytes);
		for (const item of items) message(field.item).bytes(item);
		return writer.join().join().finish();
	};
	return {
		serialize: (items, json) => (json ? jsonOf(request, encode(items)) : encode(items)),
		readResponse(body, json) {
			const { count = 0n, message = '' } = rejected(readResponse(response, body, json));
			return { rejected: Number(count), message };
		},
		count: (items) => items.length,
	};
}

/** OTLP specification, "JSON Protobuf Encoding": enumerations are numbers, and ids are hexadecimal. */
function jsonOf<Request extends DescMessage>(schema: Request, request: Uint8Array): Uint8Array {
	const json = toJson(schema, fromBinary(schema, request), { enumAsInteger: true });
	const hexadecimal = (key: string, value: unknown) =>
		key === 'traceId' || key === 'spanId' ? Buffer.from(String(value), 'base64').toString('hex') : value;
	return Buffer.from(JSON.stringify(json, hexadecimal));
}

function readResponse<Response extends DescMessage>(
	schema: Response,
	body: Uint8Array,
	json: boolean,
): MessageShape<Response> {
	if (!json) return fromBinary(schema, body);
	const text = Buffer.from(body).toString();
	return fromJsonString(schema, text === '' ? '{}' : text, { ignoreUnknownFields: true });
}
