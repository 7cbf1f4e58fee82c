// SPDX-License-Identifier: Apache-2.0
/** The counters, collected once a second: what of that failed, how old they are, and what the last minutes brought. */
import type { Provider } from '../capture/provider.ts';
import { codeOfError } from '../errors.ts';
import { Recent, type RecentTraffic, type UnknownOption } from '../model/recent.ts';
import type { NextTurn, Store } from '../model/store.ts';
import { staleMs } from './cadence.ts';
import { firstCollection, type Readiness } from './readiness.ts';
import type { Tasks } from './tasks.ts';

/** What whoever waits for the next collection waits at most: one comes each second. */
const nextMs = 3000;

export class Collection {
	readonly #provider: Provider;
	readonly #store: Store;
	readonly #tasks: Tasks;
	readonly #readiness: Readiness;
	readonly #recent = new Recent();
	/** Of those who wait for the next collection. */
	#waiting: (() => void)[] = [];
	#unknown: readonly UnknownOption[] = [];
	/** When the latest one succeeded, and why the latest that failed did. */
	#succeededAt = 0;
	#lastError: string | undefined;

	/** Not ready from now on, until one has succeeded. */
	constructor(provider: Provider, store: Store, tasks: Tasks, readiness: Readiness) {
		this.#provider = provider;
		this.#store = store;
		this.#tasks = tasks;
		this.#readiness = readiness;
		readiness.set(firstCollection, 'the first collection of the counters is awaited');
	}

	/** One collection. Rejects where the kernel refuses something: what was shown stays then. */
	async run(nextTurn: NextTurn): Promise<void> {
		const waiting = this.#waiting.splice(0);
		try {
			await this.#collect(nextTurn);
		} finally {
			for (const done of waiting) done();
		}
	}

	/** Resolves when a collection that begins after this call has ended, or failed; after 3 s in any case. */
	async next(): Promise<void> {
		const { promise, resolve } = Promise.withResolvers<void>();
		this.#waiting.push(resolve);
		const limit = setTimeout(resolve, nextMs);
		await promise;
		clearTimeout(limit);
	}

	async #collect(nextTurn: NextTurn): Promise<void> {
		const snapshot = await this.#store.look(nextTurn);
		this.#succeededAt = performance.now();
		this.#readiness.clear(firstCollection);
		this.#readiness.clear('snapshot_stale');
		this.#recent.note(snapshot, () => this.#unknownOptions());
	}

	/** To be called when one failed. */
	failed(error: unknown): void {
		this.#lastError = codeOfError(error);
		if (this.#store.snapshot === undefined) {
			const text = `the first collection of the counters is awaited, and fails (${this.#lastError})`;
			this.#readiness.set(firstCollection, text);
		}
		this.checkAge();
	}

	/** Not ready any more where the numbers are too old. */
	checkAge(): void {
		const { snapshot } = this.#store;
		if (snapshot === undefined || performance.now() - this.#succeededAt <= staleMs) return;
		const at = new Date(snapshot.atMs).toISOString();
		const why = this.#lastError === undefined ? '' : `, the latest that failed said ${this.#lastError}`;
		this.#readiness.set('snapshot_stale', `no collection of the counters succeeded since ${at}${why}`);
	}

	/** Undefined before the first. */
	recent(): RecentTraffic | undefined {
		const { snapshot } = this.#store;
		return snapshot === undefined ? undefined : this.#recent.since(snapshot, this.#unknownOptions());
	}

	/** The latest that could be read. */
	#unknownOptions(): readonly UnknownOption[] {
		try {
			this.#unknown = this.#provider.unknownOptions();
		} catch (error) {
			this.#tasks.failed('unknown_options', error);
		}
		return this.#unknown;
	}
}
