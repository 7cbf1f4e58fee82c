// SPDX-License-Identifier: Apache-2.0
/**
 * The clients that may get a series at the end of a look: those that have just come, then those of "other", the busiest first;
 * as many as there are places.
 */
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
	/** Connections that were open when it was read. */
	readonly active: number;
}

/**
 * The rank of a client of "other": first those that have moved something since the last look, then those that have not, the
 * ones first that have done most in all. A client without traffic gets a place that is free as well: when it goes on, all
 * of that is its own, and its open connections are shown as its own.
 */
export function rankOf(moved: number, weight: number): number {
	return moved > 0 ? moved : -1 / (1 + weight);
}

export class Candidates {
	readonly #places: number;
	readonly #fresh: Candidate[] = [];
	readonly #others: { readonly candidate: Candidate; readonly rank: number }[] = [];
	/** A client whose rank is not above this is too late. */
	#least = Number.NEGATIVE_INFINITY;

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

	/** Whether one of "other" with this rank can be among those that get a place. */
	wants(rank: number): boolean {
		return this.#places > 0 && rank > this.#least;
	}

	addOther(candidate: Candidate, rank: number): void {
		this.#others.push({ candidate, rank });
		if (this.#others.length < 2 * this.#places) return;
		this.#sort();
		this.#others.length = this.#places;
		this.#least = this.#others.at(-1)?.rank ?? Number.NEGATIVE_INFINITY;
	}

	inOrder(): readonly Candidate[] {
		this.#sort();
		return [...this.#fresh, ...this.#others.map(({ candidate }) => candidate)];
	}

	#sort(): void {
		this.#others.sort((a, b) => b.rank - a.rank);
	}
}
