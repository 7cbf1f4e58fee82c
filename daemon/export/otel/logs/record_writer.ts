// SPDX-License-Identifier: Apache-2.0
/**
 * Encodes a log record (message LogRecord of opentelemetry/proto/logs/v1/logs.proto). One is made
 * for each connection, so this is done by hand: @bufbuild/protobuf encodes 25,000 such records a
 * second from its messages, and 38,000 with its BinaryWriter, and this class some 100,000.
 */
import type { Attributes } from '../connection_attributes.ts';
import { SeverityNumber } from '../proto/logs.gen.ts';

export interface LogRecord {
	readonly eventName: string;
	/** Unix nanoseconds. */
	readonly timeNs: bigint;
	readonly observedNs: bigint;
	/** In hexadecimal. */
	readonly traceId: string;
	readonly spanId: string;
	/** The trace is known to be sampled. */
	readonly sampled: boolean;
	/** Integers are int64: from -2^63 to 2^63-1. */
	readonly attributes: Attributes;
}

/** A field's number and wire type, in one byte: holds for numbers below 16. */
const varint = (field: number) => field << 3;
const fixed64 = (field: number) => (field << 3) | 1;
const lengthDelimited = (field: number) => (field << 3) | 2;
const fixed32 = (field: number) => (field << 3) | 5;

const record = {
	time: fixed64(1),
	severity: varint(2),
	attribute: lengthDelimited(6),
	flags: fixed32(8),
	traceId: lengthDelimited(9),
	spanId: lengthDelimited(10),
	observedTime: fixed64(11),
	eventName: lengthDelimited(12),
} as const;
const keyValue = { key: lengthDelimited(1), value: lengthDelimited(2) } as const;
const anyValue = { string: lengthDelimited(1), int: varint(3), double: fixed64(4) } as const;

const sampledFlag = 1;
/** More than the fields of a record have besides its strings and attributes. */
const fixedBytes = 64;
/** More than an attribute has besides its name and its text. */
const attributeBytes = 32;
/** The bytes that a length has as a varint. */
const varintBytes = (value: number) => (value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4);

export class RecordWriter {
	/** Records are written here, and then copied. */
	#buffer = Buffer.allocUnsafeSlow(8192);
	#at = 0;
	/** The first field of a KeyValue, by the name of the attribute: there are few names. */
	readonly #keys = new Map<string, Buffer>();

	encode({ eventName, timeNs, observedNs, traceId, spanId, sampled, attributes }: LogRecord): Buffer {
		this.#at = 0;
		this.#reserve(fixedBytes + 3 * eventName.length);
		this.#fixed64(record.time, timeNs);
		this.#byte(record.severity);
		this.#byte(SeverityNumber.INFO);
		for (const name in attributes) this.#attribute(name, attributes[name] ?? '');
		this.#reserve(fixedBytes + 3 * eventName.length);
		if (sampled) {
			this.#byte(record.flags);
			this.#at = this.#buffer.writeUInt32LE(sampledFlag, this.#at);
		}
		this.#id(record.traceId, traceId);
		this.#id(record.spanId, spanId);
		this.#fixed64(record.observedTime, observedNs);
		this.#text(record.eventName, eventName, Buffer.byteLength(eventName));
		return Buffer.from(this.#buffer.subarray(0, this.#at));
	}

	#attribute(name: string, value: string | number | bigint): void {
		const key = this.#key(name);
		const textBytes = typeof value === 'string' ? Buffer.byteLength(value) : 0;
		const integer = typeof value === 'bigint' ? BigInt.asUintN(64, value) : 0n;
		const [low, high] = [Number(integer & 0xffff_ffffn), Number(integer >> 32n)];
		const valueBytes =
			1 +
			(typeof value === 'string'
				? varintBytes(textBytes) + textBytes
				: typeof value === 'bigint'
					? varint64Bytes(low, high)
					: 8);
		this.#reserve(key.length + textBytes + attributeBytes);
		this.#byte(record.attribute);
		this.#varint(key.length + 1 + varintBytes(valueBytes) + valueBytes);
		this.#buffer.set(key, this.#at);
		this.#at += key.length;
		this.#byte(keyValue.value);
		this.#varint(valueBytes);
		if (typeof value === 'string') this.#text(anyValue.string, value, textBytes);
		else if (typeof value === 'bigint') {
			this.#byte(anyValue.int);
			this.#varint64(low, high);
		} else {
			this.#byte(anyValue.double);
			this.#at = this.#buffer.writeDoubleLE(value, this.#at);
		}
	}

	#key(name: string): Buffer {
		let key = this.#keys.get(name);
		if (key === undefined) {
			const text = Buffer.from(name);
			if (text.length >= 0x80) throw new RangeError(`the name of an attribute is too long: ${name}`);
			key = Buffer.concat([Buffer.from([keyValue.key, text.length]), text]);
			this.#keys.set(name, key);
		}
		return key;
	}

	/** Makes room for so many more bytes. */
	#reserve(bytes: number): void {
		if (this.#at + bytes <= this.#buffer.length) return;
		const larger = Buffer.allocUnsafeSlow(2 * (this.#at + bytes));
		larger.set(this.#buffer.subarray(0, this.#at));
		this.#buffer = larger;
	}

	#byte(value: number): void {
		this.#buffer[this.#at++] = value;
	}

	#varint(value: number): void {
		let rest = value;
		for (; rest > 0x7f; rest >>>= 7) this.#byte((rest & 0x7f) | 0x80);
		this.#byte(rest);
	}

	/** Its lower and its higher 32 bits: with Numbers this is several times faster than with a BigInt. */
	#varint64(low: number, high: number): void {
		let [rest, above] = [low, high];
		while (above > 0 || rest > 0x7f) {
			this.#byte((rest & 0x7f) | 0x80);
			rest = ((rest >>> 7) | (above << 25)) >>> 0;
			above >>>= 7;
		}
		this.#byte(rest);
	}

	#fixed64(tag: number, value: bigint): void {
		this.#byte(tag);
		this.#at = this.#buffer.writeBigUInt64LE(value, this.#at);
	}

	#text(tag: number, text: string, bytes: number): void {
		this.#byte(tag);
		this.#varint(bytes);
		this.#at += this.#buffer.write(text, this.#at);
	}

	#id(tag: number, hexadecimal: string): void {
		if (hexadecimal === '') return;
		this.#byte(tag);
		this.#byte(hexadecimal.length / 2);
		this.#at += this.#buffer.write(hexadecimal, this.#at, 'hex');
	}
}

function varint64Bytes(low: number, high: number): number {
	const bits = high > 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(low);
	return Math.max(1, Math.ceil(bits / 7));
}
