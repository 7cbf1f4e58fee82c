// SPDX-License-Identifier: Apache-2.0
/**
 * Converts records of another layout to this one: each field by its name, since the kernel knows
 * the types of pinned maps.
 */
import type { Field, PinnedMap } from '../../../native/binding.ts';

/** The entries of a map, stored one after the other. */
export class Table {
	readonly keys: Buffer;
	readonly values: Buffer;
	readonly length: number;
	readonly #keySize: number;
	readonly #valueSize: number;

	constructor(keys: Buffer, values: Buffer, { keySize, valueSize }: Pick<PinnedMap, 'keySize' | 'valueSize'>) {
		this.keys = keys;
		this.values = values;
		this.length = keys.length / keySize;
		this.#keySize = keySize;
		this.#valueSize = valueSize;
	}

	*[Symbol.iterator](): Generator<{ readonly index: number; readonly key: Buffer; readonly value: Buffer }> {
		for (let index = 0; index < this.length; index++) {
			const [key, value] = [index * this.#keySize, index * this.#valueSize];
			yield {
				index,
				key: this.keys.subarray(key, key + this.#keySize),
				value: this.values.subarray(value, value + this.#valueSize),
			};
		}
	}
}

/**
 * Fields whose value need not be kept: padding, and that a client is being removed from the table.
 */
const isIgnored = ({ name }: Field) =>
	/^(retired|tag|generation|prefix_slot\[\d\])$|(^|\.)reserved(\[\d+\])?$/.test(name);

/** The field's name in this layout: layouts before 8 had different names. */
const currentName = ({ name }: Field) => name.replace(/^unshown(?=\.|$)/, 'unexported');

/** Converts records from one layout to another. */
export class Converter {
	readonly lost: readonly Field[];
	readonly missing: readonly Field[];
	readonly #moves: { readonly from: number; readonly to: number; readonly size: number }[] = [];
	readonly #sizes: readonly [number, number];

	constructor(from: readonly Field[], to: readonly Field[], ...sizes: [number, number]) {
		this.#sizes = sizes;
		const target = new Map(to.map((field) => [field.name, field]));
		const source = new Set(from.map(currentName));
		for (const field of from) {
			const other = target.get(currentName(field));
			if (other === undefined || other.size < field.size) continue;
			const last = this.#moves.at(-1);
			// little-endian: a field that grows is padded with zeros at its end
			if (last !== undefined && last.from + last.size === field.offset && last.to + last.size === other.offset) {
				this.#moves[this.#moves.length - 1] = { ...last, size: last.size + field.size };
			} else {
				this.#moves.push({ from: field.offset, to: other.offset, size: field.size });
			}
		}
		this.lost = from.filter((field) => !isIgnored(field) && (target.get(currentName(field))?.size ?? 0) < field.size);
		this.missing = to.filter((field) => !isIgnored(field) && !source.has(field.name));
	}

	convert(records: Buffer): Buffer {
		const [size, newSize] = this.#sizes;
		const converted = Buffer.alloc((records.length / size) * newSize);
		for (let at = 0, newAt = 0; at < records.length; at += size, newAt += newSize) {
			for (const { from, to, size: length } of this.#moves) {
				records.copy(converted, newAt + to, at + from, at + from + length);
			}
		}
		return converted;
	}
}
