// SPDX-License-Identifier: Apache-2.0
/**
 * An OTLP/HTTP receiver for traces on loopback. It decodes protobuf by the published field numbers,
 * independently of the libraries that encode it, so that a mistake of theirs shows.
 */
import { once } from 'node:events';
import * as http from 'node:http';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { scaleTimeout } from '../timeouts.ts';

/** int64 is bigint, double is number. */
type AttributeValue = string | boolean | bigint | number | Buffer | AttributeValue[] | undefined;
type Attributes = Record<string, AttributeValue>;

export interface ReceivedSpan {
	readonly resource: Attributes;
	readonly scope: { readonly name: string; readonly version: string };
	/** Hexadecimal. */
	readonly traceId: string;
	readonly spanId: string;
	readonly parentSpanId: string;
	readonly name: string;
	/** 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
	readonly kind: number;
	readonly startTimeUnixNano: bigint;
	readonly endTimeUnixNano: bigint;
	readonly attributes: Attributes;
	readonly events: readonly { readonly name: string; readonly timeUnixNano: bigint; readonly attributes: Attributes }[];
}

interface Field {
	readonly number: number;
	/** The value of a varint or a fixed-width field. */
	readonly value: bigint;
	/** The content of a length-delimited field; otherwise empty. */
	readonly bytes: Buffer;
}

function readVarint(buffer: Buffer, at: number): { value: bigint; next: number } {
	let value = 0n;
	for (let shift = 0n, next = at; ; shift += 7n) {
		const byte = buffer.readUInt8(next++);
		value |= BigInt(byte & 0x7f) << shift;
		if (byte < 0x80) return { value, next };
	}
}

/** The fields of a message, in order. @throws {RangeError} if the message is truncated */
function* readFields(buffer: Buffer): Generator<Field> {
	const none = buffer.subarray(0, 0);
	for (let at = 0; at < buffer.length; ) {
		const tag = readVarint(buffer, at);
		const number = Number(tag.value >> 3n);
		const wireType = Number(tag.value & 7n);
		if (wireType === 0) {
			const { value, next } = readVarint(buffer, tag.next);
			yield { number, value, bytes: none };
			at = next;
		} else if (wireType === 1) {
			yield { number, value: buffer.readBigUInt64LE(tag.next), bytes: none };
			at = tag.next + 8;
		} else if (wireType === 2) {
			const length = readVarint(buffer, tag.next);
			at = length.next + Number(length.value);
			if (at > buffer.length) throw new RangeError(`field ${number} ends past its message`);
			yield { number, value: 0n, bytes: buffer.subarray(length.next, at) };
		} else if (wireType === 5) {
			yield { number, value: BigInt(buffer.readUInt32LE(tag.next)), bytes: none };
			at = tag.next + 4;
		} else {
			throw new RangeError(`field ${number} has wire type ${wireType}`);
		}
	}
}

function readAnyValue(message: Buffer): AttributeValue {
	for (const { number, value, bytes } of readFields(message)) {
		if (number === 1) return bytes.toString();
		if (number === 2) return value !== 0n;
		if (number === 3) return BigInt.asIntN(64, value);
		if (number === 4) return new Float64Array(new BigUint64Array([value]).buffer)[0];
		if (number === 5) return Array.from(readFields(bytes), (item) => readAnyValue(item.bytes));
		if (number === 7) return bytes;
	}
	return undefined;
}

function readKeyValue(message: Buffer): [string, AttributeValue] {
	let key = '';
	let value: AttributeValue;
	for (const field of readFields(message)) {
		if (field.number === 1) key = field.bytes.toString();
		if (field.number === 2) value = readAnyValue(field.bytes);
	}
	return [key, value];
}

/** The content of all fields of a message that have this number. */
function messagesOf(message: Buffer, number: number): Buffer[] {
	return Array.from(readFields(message)).flatMap((field) => (field.number === number ? [field.bytes] : []));
}

const attributesOf = (message: Buffer, number: number): Attributes =>
	Object.fromEntries(messagesOf(message, number).map(readKeyValue));

const textOf = (message: Buffer, number: number): string => messagesOf(message, number)[0]?.toString() ?? '';
const hexOf = (message: Buffer, number: number): string => messagesOf(message, number)[0]?.toString('hex') ?? '';

function numberOf(message: Buffer, number: number): bigint {
	for (const field of readFields(message)) if (field.number === number) return field.value;
	return 0n;
}

/** Field numbers of opentelemetry/proto/trace/v1/trace.proto. */
function readSpan(span: Buffer, resource: Attributes, scope: ReceivedSpan['scope']): ReceivedSpan {
	return {
		resource,
		scope,
		traceId: hexOf(span, 1),
		spanId: hexOf(span, 2),
		parentSpanId: hexOf(span, 4),
		name: textOf(span, 5),
		kind: Number(numberOf(span, 6)),
		startTimeUnixNano: numberOf(span, 7),
		endTimeUnixNano: numberOf(span, 8),
		attributes: attributesOf(span, 9),
		events: messagesOf(span, 11).map((event) => ({
			name: textOf(event, 2),
			timeUnixNano: numberOf(event, 1),
			attributes: attributesOf(event, 3),
		})),
	};
}

/** The spans of an ExportTraceServiceRequest. */
export function decodeTraceRequest(request: Buffer): ReceivedSpan[] {
	return messagesOf(request, 1).flatMap((resourceSpans) => {
		const resource = attributesOf(messagesOf(resourceSpans, 1)[0] ?? Buffer.alloc(0), 1);
		return messagesOf(resourceSpans, 2).flatMap((scopeSpans) => {
			const scopeMessage = messagesOf(scopeSpans, 1)[0] ?? Buffer.alloc(0);
			const scope = { name: textOf(scopeMessage, 1), version: textOf(scopeMessage, 2) };
			return messagesOf(scopeSpans, 2).map((span) => readSpan(span, resource, scope));
		});
	});
}

interface ReceivedRequest {
	readonly path: string;
	readonly headers: http.IncomingHttpHeaders;
	/** Uncompressed. */
	readonly body: Buffer;
}

/** How the receiver answers a request; with `hang` it reads the request and never answers. */
export type Answer =
	| { readonly status: number; readonly headers?: Record<string, string>; readonly body?: Buffer }
	| 'hang';

export interface OtlpReceiver {
	/** Base URL, in the form of OTEL_EXPORTER_OTLP_ENDPOINT. */
	readonly endpoint: string;
	readonly requests: readonly ReceivedRequest[];
	/** The spans of the protobuf requests that were answered with 200. */
	readonly spans: readonly ReceivedSpan[];
	/** Resolves when this many requests have arrived. Rejects after `timeoutMs`. */
	waitForRequests(count: number, timeoutMs?: number): Promise<void>;
	/** Resolves with all spans when this many have arrived. Rejects after `timeoutMs`. */
	waitForSpans(count: number, timeoutMs?: number): Promise<readonly ReceivedSpan[]>;
	close(): Promise<void>;
}

/**
 * Starts a receiver on a port of 127.0.0.1.
 * @param answer how to answer the request with this number (from 0); default: 200
 * @param port 0 selects a free port
 */
export async function startOtlpReceiver(
	answer: (request: number) => Answer = () => ({ status: 200 }),
	port = 0,
): Promise<OtlpReceiver> {
	const requests: ReceivedRequest[] = [];
	const spans: ReceivedSpan[] = [];
	const arrivals = new EventTarget();

	const server = http.createServer(async (incoming, response) => {
		const chunks: Buffer[] = [];
		for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
		const raw = Buffer.concat(chunks);
		const body = incoming.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
		const reply = answer(requests.length);
		requests.push({ path: incoming.url ?? '', headers: incoming.headers, body });
		const protobuf = incoming.headers['content-type'] === 'application/x-protobuf';
		if (reply !== 'hang') {
			if (protobuf && reply.status === 200) spans.push(...decodeTraceRequest(body));
			response
				.writeHead(reply.status, { 'Content-Type': incoming.headers['content-type'], ...reply.headers })
				.end(reply.body);
		}
		arrivals.dispatchEvent(new Event('request'));
	});
	server.listen(port, '127.0.0.1');
	await once(server, 'listening');

	async function waitFor(what: string, have: () => number, count: number, timeoutMs: number): Promise<void> {
		const signal = AbortSignal.timeout(timeoutMs);
		while (have() < count) {
			await once(arrivals, 'request', { signal }).catch(() => {
				throw new Error(`only ${have()} of ${count} ${what} within ${timeoutMs} ms`);
			});
		}
	}

	return {
		endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
		requests,
		spans,
		waitForRequests: (count, timeoutMs = scaleTimeout(10_000)) =>
			waitFor('requests', () => requests.length, count, timeoutMs),
		async waitForSpans(count, timeoutMs = scaleTimeout(10_000)) {
			await waitFor('spans', () => spans.length, count, timeoutMs);
			return spans;
		},
		async close() {
			server.closeAllConnections();
			server.close();
			await once(server, 'close');
		},
	};
}
