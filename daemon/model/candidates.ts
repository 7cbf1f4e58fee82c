// SPDX-License-Identifier: Apache-2.0
/** Who may get a series at the end of a look: those who have just come, then the busiest of "other"; as many as there are places. */
import type { Traffic } from './snapshot.ts';

export interface Candidate {
	/** Of the roster. */
	readonly number: number;
	readonly key: string;
	/** Address or prefix. */
	readonly label: string;
	/** What it had done when it was read. */
	readonly traffic: Traffic;
	/** What of it is in "other". */
	readonly base: Traffic;
}

export class Candidates {
	readonly #places: number;
	readonly #fresh: Candidate[] = [];
	readonly #busy: { readonly candidate: Candidate; readonly moved: number }[] = [];
	/** Who has not moved more than this is too late. */
	#least = 0;

	constructor(places: number) {
		this.#places = places;
	}

	/** Whether there is a place for one more that has just come. */
	get open(): boolean {
		return this.#fresh.length < this.#places;
	}

	addFresh(candidate: Candidate): void {
		this.#fresh.push(candidate);
	}

	/** Whether one that has moved so much since the last look can be among the busiest. */
	wants(moved: number): boolean {
		return this.#places > 0 && moved > this.#least;
	}

	addBusy(candidate: Candidate, moved: number): void {
		this.#busy.push({ candidate, moved });
		if (this.#busy.length < 2 * this.#places) return;
		this.#sort();
		this.#busy.length = this.#places;
		this.#least = this.#busy.at(-1)?.moved ?? 0;
	}

	inOrder(): readonly Candidate[] {
		this.#sort();
		return [...this.#fresh, ...this.#busy.map(({ candidate }) => candidate)];
	}

	#sort(): void {
		this.#busy.sort((a, b) => b.moved - a.moved);
	}
}
