// SPDX-License-Identifier: Apache-2.0
/**
 * Decodes OTLP requests in protobuf by the published field numbers, independently of the libraries
 * that encode them, so that a mistake of theirs shows.
 */

/** int64 is bigint, double is number. */
type AttributeValue = string | boolean | bigint | number | Buffer | AttributeValue[] | undefined;
type Attributes = Record<string, AttributeValue>;

export interface ReceivedSpan {
	readonly resource: Attributes;
	readonly scope: { readonly name: string; readonly version: string };
	/** Hexadecimal. */
	readonly traceId: string;
	readonly spanId: string;
	/** As W3C Trace Context has it. */
	readonly traceState: string;
	readonly parentSpanId: string;
	readonly name: string;
	/** 0 unspecified, 1 internal, 2 server, 3 client, 4 producer, 5 consumer. */
	readonly kind: number;
	/** 0 unset, 1 OK, 2 error. */
	readonly status: number;
	readonly startTimeUnixNano: bigint;
	readonly endTimeUnixNano: bigint;
	readonly attributes: Attributes;
	readonly events: readonly { readonly name: string; readonly timeUnixNano: bigint; readonly attributes: Attributes }[];
}

export interface ReceivedRecord {
	readonly resource: Attributes;
	readonly scope: { readonly name: string; readonly version: string };
	readonly eventName: string;
	readonly timeUnixNano: bigint;
	readonly observedTimeUnixNano: bigint;
	readonly severityNumber: number;
	readonly severityText: string;
	readonly body: AttributeValue;
	readonly flags: number;
	/** Hexadecimal. */
	readonly traceId: string;
	readonly spanId: string;
	readonly attributes: Attributes;
}

export interface ReceivedPoint {
	readonly attributes: Attributes;
	/** 0: not known. */
	readonly startTimeUnixNano: bigint;
	readonly timeUnixNano: bigint;
	/** An integer is a bigint, a double a number; of a histogram it is the sum. */
	readonly value: bigint | number;
	/** Only of a histogram. */
	readonly count?: bigint;
	readonly bounds?: readonly number[];
	readonly buckets?: readonly bigint[];
	/** Set if there are some. */
	readonly exemplars?: readonly ReceivedExemplar[];
}

interface ReceivedExemplar {
	/** Hexadecimal. */
	readonly traceId: string;
	readonly spanId: string;
	readonly timeUnixNano: bigint;
	readonly value: number;
}

export interface ReceivedMetric {
	readonly resource: Attributes;
	readonly scope: { readonly name: string; readonly version: string };
	readonly name: string;
	readonly description: string;
	readonly unit: string;
	readonly type: 'gauge' | 'sum' | 'histogram';
	readonly temporality: 'unspecified' | 'delta' | 'cumulative';
	readonly isMonotonic: boolean;
	readonly points: readonly ReceivedPoint[];
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
		if (number === 4) return doubleOf(value);
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
		traceState: textOf(span, 3),
		parentSpanId: hexOf(span, 4),
		name: textOf(span, 5),
		kind: Number(numberOf(span, 6)),
		status: Number(numberOf(messagesOf(span, 15)[0] ?? Buffer.alloc(0), 3)),
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

/** The items of a request; the messages around them are alike in all signals. */
function itemsOf<Item>(
	request: Buffer,
	read: (item: Buffer, resource: Attributes, scope: ReceivedSpan['scope']) => Item,
): Item[] {
	return messagesOf(request, 1).flatMap((ofResource) => {
		const resource = attributesOf(messagesOf(ofResource, 1)[0] ?? Buffer.alloc(0), 1);
		return messagesOf(ofResource, 2).flatMap((ofScope) => {
			const scopeMessage = messagesOf(ofScope, 1)[0] ?? Buffer.alloc(0);
			const scope = { name: textOf(scopeMessage, 1), version: textOf(scopeMessage, 2) };
			return messagesOf(ofScope, 2).map((item) => read(item, resource, scope));
		});
	});
}

/** Field numbers of opentelemetry/proto/logs/v1/logs.proto. */
function readRecord(record: Buffer, resource: Attributes, scope: ReceivedRecord['scope']): ReceivedRecord {
	return {
		resource,
		scope,
		eventName: textOf(record, 12),
		timeUnixNano: numberOf(record, 1),
		observedTimeUnixNano: numberOf(record, 11),
		severityNumber: Number(numberOf(record, 2)),
		severityText: textOf(record, 3),
		body: readAnyValue(messagesOf(record, 5)[0] ?? Buffer.alloc(0)),
		flags: Number(numberOf(record, 8)),
		traceId: hexOf(record, 9),
		spanId: hexOf(record, 10),
		attributes: attributesOf(record, 6),
	};
}

/** The records of an ExportLogsServiceRequest. */
export function decodeLogsRequest(request: Buffer): ReceivedRecord[] {
	return itemsOf(request, readRecord);
}

/** The spans of an ExportTraceServiceRequest. */
export function decodeTraceRequest(request: Buffer): ReceivedSpan[] {
	return itemsOf(request, readSpan);
}

const doubleOf = (bits: bigint) => new Float64Array(new BigUint64Array([bits]).buffer)[0] ?? Number.NaN;

/** A packed field of 64-bit words. */
function wordsOf(message: Buffer, number: number): bigint[] {
	return messagesOf(message, number).flatMap((bytes) =>
		Array.from({ length: bytes.length / 8 }, (_, index) => bytes.readBigUInt64LE(8 * index)),
	);
}

const hasField = (message: Buffer, number: number) =>
	Array.from(readFields(message)).some((field) => field.number === number);

/** Field numbers of opentelemetry/proto/metrics/v1/metrics.proto. */
function readNumberPoint(point: Buffer): ReceivedPoint {
	return {
		attributes: attributesOf(point, 7),
		startTimeUnixNano: numberOf(point, 2),
		timeUnixNano: numberOf(point, 3),
		value: hasField(point, 6) ? BigInt.asIntN(64, numberOf(point, 6)) : doubleOf(numberOf(point, 4)),
	};
}

function readExemplar(exemplar: Buffer): ReceivedExemplar {
	return {
		traceId: hexOf(exemplar, 5),
		spanId: hexOf(exemplar, 4),
		timeUnixNano: numberOf(exemplar, 2),
		value: doubleOf(numberOf(exemplar, 3)),
	};
}

function readHistogramPoint(point: Buffer): ReceivedPoint {
	const exemplars = messagesOf(point, 8).map(readExemplar);
	return {
		attributes: attributesOf(point, 9),
		startTimeUnixNano: numberOf(point, 2),
		timeUnixNano: numberOf(point, 3),
		value: doubleOf(numberOf(point, 5)),
		count: numberOf(point, 4),
		bounds: wordsOf(point, 7).map(doubleOf),
		buckets: wordsOf(point, 6),
		...(exemplars.length > 0 && { exemplars }),
	};
}

const dataFields = { gauge: 5, sum: 7, histogram: 9 } as const;
const temporalities = ['unspecified', 'delta', 'cumulative'] as const;

function readMetric(metric: Buffer, resource: Attributes, scope: ReceivedMetric['scope']): ReceivedMetric {
	const head = { resource, scope, name: textOf(metric, 1), description: textOf(metric, 2), unit: textOf(metric, 3) };
	for (const type of ['gauge', 'sum', 'histogram'] as const) {
		const [data] = messagesOf(metric, dataFields[type]);
		if (data === undefined) continue;
		const points = messagesOf(data, 1).map(type === 'histogram' ? readHistogramPoint : readNumberPoint);
		const temporality = temporalities[type === 'gauge' ? 0 : Number(numberOf(data, 2))] ?? 'unspecified';
		return { ...head, type, temporality, isMonotonic: type === 'sum' && numberOf(data, 3) === 1n, points };
	}
	throw new RangeError(`${head.name} has no data`);
}

/** The metrics of an ExportMetricsServiceRequest. */
export function decodeMetricsRequest(request: Buffer): ReceivedMetric[] {
	return itemsOf(request, readMetric);
}
