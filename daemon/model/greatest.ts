// SPDX-License-Identifier: Apache-2.0
/** The greatest of many rows, without sorting them all: a heap of no more than are wanted, the last of them on top. */

/** Of equal values the row that was offered first is the greater one. */
export class Greatest {
	readonly #wanted: number;
	readonly #rows: number[] = [];
	readonly #values: (number | bigint)[] = [];

	constructor(wanted: number) {
		this.#wanted = wanted;
	}

	/** Each row once, in ascending order. */
	offer(row: number, value: number | bigint): void {
		if (this.#rows.length < this.#wanted) {
			this.#rise(row, value);
		} else if (value > (this.#values[0] ?? value)) {
			this.#sink(row, value);
		}
	}

	/** Takes the last of those that are left out of them; undefined: none is left. */
	takeLast(): number | undefined {
		const last = this.#rows[0];
		const [row, value] = [this.#rows.pop(), this.#values.pop()];
		if (row !== undefined && value !== undefined && this.#rows.length > 0) this.#sink(row, value);
		return last;
	}

	/** Whether the one in a place comes after this one. */
	#isAfter(place: number, row: number, value: number | bigint): boolean {
		const other = this.#values[place] as number | bigint;
		return other < value || (!(other > value) && (this.#rows[place] as number) > row);
	}

	/** One more. */
	#rise(row: number, value: number | bigint): void {
		let place = this.#rows.length;
		while (place > 0) {
			const parent = (place - 1) >> 1;
			if (!this.#isAfter(parent, row, value)) this.#move(parent, place);
			else break;
			place = parent;
		}
		this.#put(place, row, value);
	}

	/** In place of the one on top. */
	#sink(row: number, value: number | bigint): void {
		const { length } = this.#rows;
		let place = 0;
		for (;;) {
			let child = 2 * place + 1;
			if (child >= length) break;
			const right = child + 1;
			if (right < length && this.#isAfter(right, this.#rows[child] as number, this.#values[child] as number | bigint)) {
				child = right;
			}
			if (!this.#isAfter(child, row, value)) break;
			this.#move(child, place);
			place = child;
		}
		this.#put(place, row, value);
	}

	#move(from: number, to: number): void {
		this.#put(to, this.#rows[from] as number, this.#values[from] as number | bigint);
	}

	#put(place: number, row: number, value: number | bigint): void {
		this.#rows[place] = row;
		this.#values[place] = value;
	}
}
