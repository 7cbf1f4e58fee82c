// SPDX-License-Identifier: Apache-2.0
/**
 * Writes protobuf messages of OTLP with attributes. One is made of each connection, and eight of each
 * client at every export, so this is done by hand: @bufbuild/protobuf encodes 25,000 spans a second,
 * and 38,000 with its BinaryWriter, and this class some 100,000.
 */
import type { AttributeValue } from './connection_attributes.ts';

/** A field's number and wire type, in one byte: holds for numbers below 16. */
export const varint = (field: number) => field << 3;
export const fixed64 = (field: number) => (field << 3) | 1;
export const lengthDelimited = (field: number) => (field << 3) | 2;
export const fixed32 = (field: number) => (field << 3) | 5;

/** The fields of KeyValue and AnyValue in opentelemetry/proto/common/v1/common.proto. */
const keyValue = { key: lengthDelimited(1), value: lengthDelimited(2) } as const;
const anyValue = { string: lengthDelimited(1), int: varint(3), double: fixed64(4) } as const;

/** More than a field has besides its name and its text. */
const fieldBytes = 32;
/** The bytes that a length below 2^28 has as a varint. */
export const varintBytes = (value: number) => (value < 0x80 ? 1 : value < 0x4000 ? 2 : value < 0x20_0000 ? 3 : 4);

/** The first field of a KeyValue, by the name of the attribute: there are few names. */
const keyFields = new Map<string, Buffer>();

function keyField(name: string): Buffer {
	let key = keyFields.get(name);
	if (key === undefined) {
		const text = Buffer.from(name);
		if (text.length >= 0x80) throw new RangeError(`the name of an attribute is too long: ${name}`);
		key = Buffer.concat([Buffer.from([keyValue.key, text.length]), text]);
		keyFields.set(name, key);
	}
	return key;
}

export class ProtobufWriter {
	/** A message is written here, and then copied. It grows. */
	#buffer = Buffer.allocUnsafeSlow(512);
	#at = 0;

	/** Begins a message. */
	begin(): void {
		this.#at = 0;
	}

	/** What has been written since begin(), until the next call. */
	get written(): Uint8Array {
		return this.#buffer.subarray(0, this.#at);
	}

	/** Integers are int64: from -2^63 to 2^63-1. */
	attribute(tag: number, name: string, value: AttributeValue): void {
		const key = keyField(name);
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
		this.#reserve(key.length + textBytes + fieldBytes);
		this.#byte(tag);
		this.#varint(key.length + 1 + varintBytes(valueBytes) + valueBytes);
		this.#append(key);
		this.#byte(keyValue.value);
		this.#varint(valueBytes);
		if (typeof value === 'string') {
			this.#byte(anyValue.string);
			this.#write(value, textBytes);
		} else if (typeof value === 'bigint') {
			this.#byte(anyValue.int);
			this.#varint64(low, high);
		} else {
			this.#byte(anyValue.double);
			this.#at = this.#buffer.writeDoubleLE(value, this.#at);
		}
	}

	/** A varint below 2^31. */
	integer(tag: number, value: number): void {
		this.#reserve(fieldBytes);
		this.#byte(tag);
		this.#varint(value);
	}

	fixed32(tag: number, value: number): void {
		this.#reserve(fieldBytes);
		this.#varint(tag);
		this.#at = this.#buffer.writeUInt32LE(value, this.#at);
	}

	fixed64(tag: number, value: bigint): void {
		this.#reserve(fieldBytes);
		this.#byte(tag);
		this.#at = this.#buffer.writeBigUInt64LE(value, this.#at);
	}

	sfixed64(tag: number, value: bigint): void {
		this.#reserve(fieldBytes);
		this.#byte(tag);
		this.#at = this.#buffer.writeBigInt64LE(value, this.#at);
	}

	text(tag: number, text: string): void {
		const bytes = Buffer.byteLength(text);
		this.#reserve(bytes + fieldBytes);
		this.#byte(tag);
		this.#write(text, bytes);
	}

	/** An id in hexadecimal; none if it is empty. */
	id(tag: number, hexadecimal: string): void {
		if (hexadecimal === '') return;
		this.#reserve(hexadecimal.length + fieldBytes);
		this.#byte(tag);
		this.#byte(hexadecimal.length / 2);
		this.#at += this.#buffer.write(hexadecimal, this.#at, 'hex');
	}

	double(tag: number, value: number): void {
		this.#reserve(fieldBytes);
		this.#byte(tag);
		this.#at = this.#buffer.writeDoubleLE(value, this.#at);
	}

	/** Repeated fixed64; no field if there are none. */
	packedFixed64(tag: number, values: readonly bigint[]): void {
		this.#beginPacked(tag, values.length);
		for (const value of values) this.#at = this.#buffer.writeBigUInt64LE(value, this.#at);
	}

	/** Repeated double; no field if there are none. */
	packedDouble(tag: number, values: readonly number[]): void {
		this.#beginPacked(tag, values.length);
		for (const value of values) this.#at = this.#buffer.writeDoubleLE(value, this.#at);
	}

	/** An embedded message that is encoded already. */
	message(tag: number, bytes: Uint8Array): void {
		this.#reserve(bytes.length + fieldBytes);
		this.#byte(tag);
		this.#varint(bytes.length);
		this.#append(bytes);
	}

	/** An embedded message: what another writer has written since its begin(). */
	embed(tag: number, other: ProtobufWriter): void {
		this.message(tag, other.written);
	}

	/** Whole fields that are encoded already. */
	fields(bytes: Uint8Array): void {
		this.#reserve(bytes.length);
		this.#append(bytes);
	}

	/** Makes room for so many more bytes. */
	#reserve(bytes: number): void {
		if (this.#at + bytes <= this.#buffer.length) return;
		const larger = Buffer.allocUnsafeSlow(2 * (this.#at + bytes));
		larger.set(this.#buffer.subarray(0, this.#at));
		this.#buffer = larger;
	}

	#append(bytes: Uint8Array): void {
		this.#buffer.set(bytes, this.#at);
		this.#at += bytes.length;
	}

	/** What precedes so many values of 8 bytes. */
	#beginPacked(tag: number, values: number): void {
		if (values === 0) return;
		this.#reserve(8 * values + fieldBytes);
		this.#byte(tag);
		this.#varint(8 * values);
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

	#write(text: string, bytes: number): void {
		this.#varint(bytes);
		this.#at += this.#buffer.write(text, this.#at);
	}
}

function varint64Bytes(low: number, high: number): number {
	const bits = high > 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(low);
	return Math.max(1, Math.ceil(bits / 7));
}
