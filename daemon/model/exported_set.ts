// SPDX-License-Identifier: Apache-2.0
/**
 * Who has a series. The set is pinned with the counters: what the daemon before this one left there is gone on with, client
 * by client, as they are met. What belongs to nobody any more is taken out, so that nobody who returns gets its base.
 */
import type { Series } from './snapshot.ts';
import type { Admission, Exported, Source } from './source.ts';

/** A client with a series. */
export interface Shown {
	readonly exported: Exported;
	readonly series: Series;
}

/** Entries taken out at a stretch: each is a call into the kernel. */
const dropsATurn = 256;

export class ExportedSet {
	readonly #source: Source;
	/** By the client's number. */
	readonly #shown = new Map<number, Shown>();
	/** Of the daemon before this one, by the client's key, as long as the client has not been met. */
	readonly #waiting = new Map<string, Exported>();
	/** Keys of entries whose series have ended. */
	readonly #ended = new Set<string>();

	constructor(source: Source) {
		this.#source = source;
		for (const [key, exported] of source.readExported()) {
			if (exported.sinceNs === 0n) this.#ended.add(key);
			else this.#waiting.set(key, exported);
		}
	}

	/** Series that are shown. */
	get shown(): number {
		return this.#shown.size;
	}

	/** Places that are taken: those, and of clients that may still be met. */
	get size(): number {
		return this.#shown.size + this.#waiting.size;
	}

	/** Whether the daemon before this one has left somebody who has not been met. */
	get waits(): boolean {
		return this.#waiting.size > 0;
	}

	get(number: number): Shown | undefined {
		return this.#shown.get(number);
	}

	/** Goes on with what the daemon before this one had decided. Undefined: nothing, or that it gets no series. */
	resume(key: string): Exported | undefined {
		const exported = this.#waiting.get(key);
		this.#waiting.delete(key);
		return exported;
	}

	show(number: number, shown: Shown): void {
		this.#shown.set(number, shown);
	}

	/** Of each: whether there was room. */
	admit(admissions: readonly Admission[]): readonly boolean[] {
		const admitted = this.#source.admit(admissions);
		// what was left there is overwritten
		admissions.forEach(({ key }, index) => {
			if (admitted[index]) this.#ended.delete(key);
		});
		return admitted;
	}

	/** Ends the series, if there is one, with the client's entry. False: it goes on. */
	fold(number: number, key: string): boolean {
		const result = this.#source.fold(key, this.#shown.get(number)?.exported);
		if (result === 'refused') return false;
		if (result === 'left') this.#ended.add(key);
		this.#shown.delete(number);
		return true;
	}

	/** To be called when all clients have been looked at: who has not been met is not there. What is refused now is tried at the next look. */
	async sweep(nextTurn: () => Promise<void>): Promise<void> {
		for (const key of this.#waiting.keys()) this.#ended.add(key);
		this.#waiting.clear();
		let tried = 0;
		for (const key of this.#ended) {
			if (++tried % dropsATurn === 0) await nextTurn();
			if (this.#source.dropExported(key)) this.#ended.delete(key);
		}
	}
}
