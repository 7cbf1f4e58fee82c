// SPDX-License-Identifier: Apache-2.0
/**
 * The clients that can get a series at the end of a collection, as many as there are free series:
 * first the new clients, then the busiest ones of "other".
 */
import type { Traffic } from './traffic.ts';

export interface Candidate {
	/** The client's number in the ClientIndex. */
	readonly number: number;
	readonly key: string;
	/** Address or prefix. */
	readonly label: string;
	/** Its traffic when it was read. */
	readonly traffic: Traffic;
	/** The part of `traffic` that "other" shows. */
	readonly base: Traffic;
	/** Connections that were open when it was read. */
	readonly active: number;
}

/**
 * The rank of a client of "other". Clients with traffic since the last collection come first, then
 * the others by all of their traffic. An idle client gets a free series too: its later traffic and
 * its open connections are then shown as its own.
 */
export function rankOf(moved: number, weight: number): number {
	return moved > 0 ? moved : -1 / (1 + weight);
}

export class Candidates {
	readonly #limit: number;
	readonly #newClients: Candidate[] = [];
	readonly #others: { readonly candidate: Candidate; readonly rank: number }[] = [];
	/** A client whose rank is not above this gets no series. */
	#minRank = Number.NEGATIVE_INFINITY;

	constructor(limit: number) {
		this.#limit = limit;
	}

	/** Whether there is room for one more new client. */
	get hasRoom(): boolean {
		return this.#newClients.length < this.#limit;
	}

	addNew(candidate: Candidate): void {
		this.#newClients.push(candidate);
	}

	/** Whether a client of "other" with this rank can still be among those that get a series. */
	accepts(rank: number): boolean {
		return this.#limit > 0 && rank > this.#minRank;
	}

	addOther(candidate: Candidate, rank: number): void {
		this.#others.push({ candidate, rank });
		if (this.#others.length < 2 * this.#limit) return;
		this.#sort();
		this.#others.length = this.#limit;
		this.#minRank = this.#others.at(-1)?.rank ?? Number.NEGATIVE_INFINITY;
	}

	inOrder(): readonly Candidate[] {
		this.#sort();
		return [...this.#newClients, ...this.#others.map(({ candidate }) => candidate)];
	}

	#sort(): void {
		this.#others.sort((a, b) => b.rank - a.rank);
	}
}
