// SPDX-License-Identifier: Apache-2.0
/**
 * The clients that have a series. The set is pinned with the counters: a series of the previous
 * daemon continues when its client is first read. An entry whose client is gone is deleted, so that
 * a client that returns does not get the old base.
 */
import type { Series } from './series.ts';
import type { Admission, ExportedEntry, Source } from './source.ts';

/** A client with a series. */
export interface ExportedClient {
	readonly exported: ExportedEntry;
	readonly series: Series;
}

/** Entries deleted before yielding: each deletion is a call into the kernel. */
const dropsPerBatch = 256;

export class ExportedSet {
	readonly #source: Source;
	/** By the client's number. */
	readonly #shown = new Map<number, ExportedClient>();
	/** Series of the previous daemon whose clients have not been read yet, by the client's key. */
	readonly #unresumed = new Map<string, ExportedEntry>();
	/** Keys of entries whose series have ended. */
	readonly #ended = new Set<string>();

	constructor(source: Source) {
		this.#source = source;
		for (const [key, exported] of source.readExported()) {
			if (exported.sinceNs === 0n) this.#ended.add(key);
			else this.#unresumed.set(key, exported);
		}
	}

	/** How many series are shown. */
	get count(): number {
		return this.#shown.size;
	}

	/**
	 * How many series count against the limit: those shown, and those of the previous daemon that
	 * can still be resumed.
	 */
	get size(): number {
		return this.#shown.size + this.#unresumed.size;
	}

	/** Whether there is a series of the previous daemon that can still be resumed. */
	get hasUnresumed(): boolean {
		return this.#unresumed.size > 0;
	}

	get(number: number): ExportedClient | undefined {
		return this.#shown.get(number);
	}

	/**
	 * Continues the series of the previous daemon. Undefined: it had decided nothing, or that the
	 * client gets no series.
	 */
	resume(key: string): ExportedEntry | undefined {
		const exported = this.#unresumed.get(key);
		this.#unresumed.delete(key);
		return exported;
	}

	add(number: number, shown: ExportedClient): void {
		this.#shown.set(number, shown);
	}

	/** Returns whether there was room, for each admission. */
	admit(admissions: readonly Admission[]): readonly boolean[] {
		const admitted = this.#source.admit(admissions);
		// an ended entry with the same key was overwritten
		admissions.forEach(({ key }, index) => {
			if (admitted[index]) this.#ended.delete(key);
		});
		return admitted;
	}

	/** Ends the series, if there is one, together with the client's entry. False: both stay. */
	fold(number: number, key: string): boolean {
		const result = this.#source.fold(key, this.#shown.get(number)?.exported);
		if (result === 'refused') return false;
		if (result === 'left') this.#ended.add(key);
		this.#shown.delete(number);
		return true;
	}

	/**
	 * Deletes the entries of ended series. Call it when all clients have been read: a series that
	 * has not been resumed by then has no client. A deletion that the kernel refuses is tried again
	 * at the next collection.
	 */
	async sweep(yieldLoop: () => Promise<void>): Promise<void> {
		for (const key of this.#unresumed.keys()) this.#ended.add(key);
		this.#unresumed.clear();
		let tried = 0;
		for (const key of this.#ended) {
			if (++tried % dropsPerBatch === 0) await yieldLoop();
			if (this.#source.dropExported(key)) this.#ended.delete(key);
		}
	}
}
