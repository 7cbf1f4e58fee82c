// SPDX-License-Identifier: Apache-2.0
/**
 * The exported set at one collection: the identity of each series and its values, in columns. Ten
 * thousand series are collected and printed every few seconds: as objects they would keep the
 * garbage collector busy.
 */
import type { ClientSeries, Series } from './series.ts';
import type { Traffic } from './traffic.ts';
import { readWords, trafficWord, trafficWords } from './traffic.ts';

/**
 * High halves below this give exact numbers: together with the low half the value is below 2^53.
 */
const exactHigh = 2 ** 21;

/** Immutable. */
export class SeriesTable implements Iterable<ClientSeries> {
	readonly #series: readonly Series[];
	readonly #words: BigUint64Array;
	/** The same memory as 32-bit words, the low half of each word first. */
	readonly #halves: Uint32Array;
	readonly #active: Float64Array;

	/** `words`: `trafficWords` of them for each series; `active`: open connections of each. */
	constructor(series: readonly Series[], words: BigUint64Array, active: Float64Array) {
		this.#series = series;
		this.#words = words;
		this.#active = active;
		this.#halves = new Uint32Array(words.buffer, words.byteOffset, 2 * words.length);
	}

	get length(): number {
		return this.#series.length;
	}

	/**
	 * Returns the same object for as long as the series lives.
	 * @throws {RangeError} there is no such row
	 */
	series(row: number): Series {
		const series = this.#series[row];
		if (series === undefined) throw new RangeError(`no series ${row}`);
		return series;
	}

	/** The exact value: a number below 2^53, a bigint from there on. */
	value(row: number, field: keyof Traffic): number | bigint {
		const word = row * trafficWords + trafficWord[field];
		const high = this.#halves[2 * word + 1] ?? 0;
		return high < exactHigh ? high * 2 ** 32 + (this.#halves[2 * word] ?? 0) : (this.#words[word] ?? 0n);
	}

	/**
	 * Connections that are open now. Not the difference of the counters: a series whose client was
	 * in "other" does not count the opening of connections that were already open, but does count
	 * their closing.
	 */
	active(row: number): number {
		return this.#active[row] ?? 0;
	}

	/** All values of a row. @throws {RangeError} there is no such row */
	row(row: number): ClientSeries {
		const traffic = readWords(this.#words, row * trafficWords);
		return { ...this.series(row), traffic, active: this.active(row) };
	}

	*[Symbol.iterator](): Generator<ClientSeries> {
		for (let row = 0; row < this.length; row++) yield this.row(row);
	}
}

/** Builds a table row by row. */
export class SeriesTableBuilder {
	readonly #series: Series[] = [];
	#words: BigUint64Array;
	#active: Float64Array;

	/** `rows`: how many are expected. */
	constructor(rows: number) {
		this.#words = new BigUint64Array(rows * trafficWords);
		this.#active = new Float64Array(rows);
	}

	/** The words of all rows, to write their traffic to; add() can replace the array. */
	get words(): BigUint64Array {
		return this.#words;
	}

	/**
	 * Adds a row whose words are all 0. Returns the index of its first word. `active`: connections
	 * that are open.
	 */
	add(series: Series, active = 0): number {
		const row = this.#series.push(series) - 1;
		if (row >= this.#active.length) this.#grow(2 * (row + 1));
		this.#active[row] = active;
		return row * trafficWords;
	}

	#grow(rows: number): void {
		const [words, active] = [new BigUint64Array(rows * trafficWords), new Float64Array(rows)];
		words.set(this.#words);
		active.set(this.#active);
		[this.#words, this.#active] = [words, active];
	}

	/** Call it once, at the end. */
	build(): SeriesTable {
		const rows = this.#series.length;
		return new SeriesTable(this.#series, this.#words.subarray(0, rows * trafficWords), this.#active.subarray(0, rows));
	}
}
