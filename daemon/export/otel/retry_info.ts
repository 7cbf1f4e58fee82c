// SPDX-License-Identifier: Apache-2.0
/**
 * Reads google.rpc.RetryInfo out of a google.rpc.Status (googleapis: google/rpc/status.proto,
 * error_details.proto).
 */
import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';

const maxDelayMs = 3_600_000;

/** Numbers of the fields that are read: Status.details, Any, RetryInfo.retry_delay, Duration. */
const details = 3;
const [typeUrl, value] = [1, 2];
const retryDelay = 1;
const [seconds, nanos] = [1, 2];

/**
 * The delay of a status in milliseconds; undefined: it has none.
 * @throws {Error} the message is malformed
 */
export function readRetryDelayMs(status: Uint8Array): number | undefined {
	for (const any of messages(status, details)) {
		const [name] = messages(any, typeUrl);
		if (name === undefined || !/(^|\/)google\.rpc\.RetryInfo$/.test(Buffer.from(name).toString())) continue;
		const [duration] = messages(messages(any, value)[0] ?? new Uint8Array(), retryDelay);
		if (duration === undefined) return undefined;
		const ms = 1000 * integer(duration, seconds) + integer(duration, nanos) / 1e6;
		return Math.min(Math.max(Math.ceil(ms), 0), maxDelayMs);
	}
	return undefined;
}

/** The fields of a message with this number that have a length. */
function messages(message: Uint8Array, field: number): Uint8Array[] {
	const found: Uint8Array[] = [];
	const reader = new BinaryReader(message);
	while (reader.pos < reader.len) {
		const [number, type] = reader.tag();
		if (number === field && type === WireType.LengthDelimited) found.push(reader.bytes());
		else reader.skip(type, number);
	}
	return found;
}

/** The last field of a message with this number that is an integer; 0 if there is none. */
function integer(message: Uint8Array, field: number): number {
	let found = 0;
	const reader = new BinaryReader(message);
	while (reader.pos < reader.len) {
		const [number, type] = reader.tag();
		if (number === field && type === WireType.Varint) found = Number(reader.int64());
		else reader.skip(type, number);
	}
	return found;
}
