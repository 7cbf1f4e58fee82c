// SPDX-License-Identifier: Apache-2.0
/** Requests and responses of the logs service, in protobuf and in JSON, from records that are encoded. */
import { create, fromBinary, fromJsonString, toBinary, toJson } from '@bufbuild/protobuf';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import type { Resource } from '@opentelemetry/resources';
import { InstrumentationScopeSchema } from '../proto/common.gen.ts';
import {
	ExportLogsServiceRequestSchema,
	type ExportLogsServiceResponse,
	ExportLogsServiceResponseSchema,
} from '../proto/logs_service.gen.ts';
import { ResourceSchema } from '../proto/resource.gen.ts';
import type { SignalCodec } from '../receiver.ts';
import { resourceMessage } from '../resource.ts';

/** Encoded records: messages LogRecord. */
export type Records = readonly Uint8Array[];

/** Field numbers of logs_service.proto and logs.proto. */
const field = {
	request: { resourceLogs: 1 },
	resourceLogs: { resource: 1, scopeLogs: 2 },
	scopeLogs: { scope: 1, logRecords: 2 },
} as const;

/** `version`: of toascope. */
export function logsCodec(resource: Resource, version: string): SignalCodec<Records> {
	const resourceBytes = toBinary(ResourceSchema, resourceMessage(resource));
	const scopeBytes = toBinary(
		InstrumentationScopeSchema,
		create(InstrumentationScopeSchema, { name: 'toascope', version }),
	);
	const encode = (records: Records): Uint8Array<ArrayBuffer> => {
		const writer = new BinaryWriter();
		const message = (number: number) => writer.tag(number, WireType.LengthDelimited);
		message(field.request.resourceLogs).fork();
		message(field.resourceLogs.resource).bytes(resourceBytes);
		message(field.resourceLogs.scopeLogs).fork();
		message(field.scopeLogs.scope).bytes(scopeBytes);
		for (const record of records) message(field.scopeLogs.logRecords).bytes(record);
		return writer.join().join().finish();
	};
	return {
		serialize: (records, json) => (json ? jsonOf(encode(records)) : encode(records)),
		readResponse(body, json) {
			const { partialSuccess } = readResponse(body, json);
			return {
				rejected: Number(partialSuccess?.rejectedLogRecords ?? 0n),
				message: partialSuccess?.errorMessage ?? '',
			};
		},
		count: (records) => records.length,
	};
}

interface JsonIds {
	traceId?: string;
	spanId?: string;
}

/** OTLP specification, "JSON Protobuf Encoding": enumerations are numbers, and ids are hexadecimal. */
function jsonOf(request: Uint8Array): Uint8Array {
	const message = fromBinary(ExportLogsServiceRequestSchema, request);
	const json = toJson(ExportLogsServiceRequestSchema, message, { enumAsInteger: true }) as unknown as {
		readonly resourceLogs: readonly { readonly scopeLogs: readonly { readonly logRecords?: readonly JsonIds[] }[] }[];
	};
	for (const { scopeLogs } of json.resourceLogs) {
		for (const record of scopeLogs.flatMap(({ logRecords = [] }) => logRecords)) {
			if (record.traceId !== undefined) record.traceId = hexadecimal(record.traceId);
			if (record.spanId !== undefined) record.spanId = hexadecimal(record.spanId);
		}
	}
	return Buffer.from(JSON.stringify(json));
}

const hexadecimal = (base64: string) => Buffer.from(base64, 'base64').toString('hex');

function readResponse(body: Uint8Array, json: boolean): ExportLogsServiceResponse {
	if (!json) return fromBinary(ExportLogsServiceResponseSchema, body);
	const text = Buffer.from(body).toString();
	return fromJsonString(ExportLogsServiceResponseSchema, text === '' ? '{}' : text, { ignoreUnknownFields: true });
}
