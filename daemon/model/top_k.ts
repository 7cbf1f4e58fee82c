// SPDX-License-Identifier: Apache-2.0
/**
 * The greatest of many rows, without sorting them all: a heap of only as many rows as are wanted,
 * the smallest at the root.
 */

/** If two rows have equal values, the one offered first ranks higher. */
export class TopK {
	readonly #wanted: number;
	readonly #rows: number[] = [];
	readonly #values: (number | bigint)[] = [];

	constructor(wanted: number) {
		this.#wanted = wanted;
	}

	/** Each row is to be offered once, in ascending order. */
	offer(row: number, value: number | bigint): void {
		if (this.#rows.length < this.#wanted) {
			this.#rise(row, value);
		} else if (value > (this.#values[0] ?? value)) {
			this.#sink(row, value);
		}
	}

	/** Removes and returns the smallest of the rows that are left; undefined: none is left. */
	popLast(): number | undefined {
		const last = this.#rows[0];
		const [row, value] = [this.#rows.pop(), this.#values.pop()];
		if (row !== undefined && value !== undefined && this.#rows.length > 0) this.#sink(row, value);
		return last;
	}

	/** Whether the heap's entry at `index` comes after the given row. */
	#isAfter(index: number, row: number, value: number | bigint): boolean {
		const other = this.#values[index] as number | bigint;
		return other < value || (!(other > value) && (this.#rows[index] as number) > row);
	}

	/** Adds a row to the heap. */
	#rise(row: number, value: number | bigint): void {
		let index = this.#rows.length;
		while (index > 0) {
			const parent = (index - 1) >> 1;
			if (!this.#isAfter(parent, row, value)) this.#move(parent, index);
			else break;
			index = parent;
		}
		this.#put(index, row, value);
	}

	/** Replaces the root of the heap. */
	#sink(row: number, value: number | bigint): void {
		const { length } = this.#rows;
		let index = 0;
		for (;;) {
			let child = 2 * index + 1;
			if (child >= length) break;
			const right = child + 1;
			if (right < length && this.#isAfter(right, this.#rows[child] as number, this.#values[child] as number | bigint)) {
				child = right;
			}
			if (!this.#isAfter(child, row, value)) break;
			this.#move(child, index);
			index = child;
		}
		this.#put(index, row, value);
	}

	#move(from: number, to: number): void {
		this.#put(to, this.#rows[from] as number, this.#values[from] as number | bigint);
	}

	#put(index: number, row: number, value: number | bigint): void {
		this.#rows[index] = row;
		this.#values[index] = value;
	}
}
