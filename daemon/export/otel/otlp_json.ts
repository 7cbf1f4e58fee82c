// SPDX-License-Identifier: Apache-2.0
/** OTLP in JSON, as far as it differs from the JSON of protobuf; and responses in either encoding. */
import { type DescMessage, fromBinary, fromJsonString, type MessageShape, toJson } from '@bufbuild/protobuf';

/**
 * OTLP specification, "JSON Protobuf Encoding": enumerations are numbers, and trace and span ids are
 * hexadecimal, while all other bytes of protobuf are in Base64.
 */
export function toOtlpJson<Schema extends DescMessage>(schema: Schema, message: MessageShape<Schema>): Buffer {
	const hexadecimalIds = (key: string, value: unknown) =>
		key === 'traceId' || key === 'spanId' ? Buffer.from(String(value), 'base64').toString('hex') : value;
	return Buffer.from(JSON.stringify(toJson(schema, message, { enumAsInteger: true }), hexadecimalIds));
}

/** An empty response is one without fields. */
export function readResponse<Schema extends DescMessage>(
	schema: Schema,
	body: Uint8Array,
	json: boolean,
): MessageShape<Schema> {
	if (!json) return fromBinary(schema, body);
	const text = Buffer.from(body).toString();
	return fromJsonString(schema, text === '' ? '{}' : text, { ignoreUnknownFields: true });
}
