// SPDX-License-Identifier: Apache-2.0
/**
 * Collects the counters once a second, and keeps the latest error, the age of the counters and the
 * traffic of the last minutes.
 */
import type { Tracker } from '../capture/provider.ts';
import { codeOfError } from '../errors.ts';
import type { Yield } from '../event_loop.ts';
import { Recent, type RecentTraffic, type UnknownOption } from '../model/recent.ts';
import type { SnapshotStore } from '../model/snapshot_store.ts';
import { staleMs } from './cadence.ts';
import { firstCollection, type Readiness } from './readiness.ts';
import type { Tasks } from './tasks.ts';

/** The longest wait for the next collection: one runs each second. */
const nextMs = 3000;

export class Collection {
	readonly #tracker: Tracker | undefined;
	readonly #store: SnapshotStore;
	readonly #tasks: Tasks;
	readonly #readiness: Readiness;
	readonly #recent = new Recent();
	/** Callbacks that wait for the next collection. */
	#waiting: (() => void)[] = [];
	#unknown: readonly UnknownOption[] = [];
	/** When the latest collection succeeded, and the error code of the latest that failed. */
	#succeededAt = 0;
	#lastError: string | undefined;

	/** Marks the daemon as not ready until the first run succeeds. */
	constructor(tracker: Tracker | undefined, store: SnapshotStore, tasks: Tasks, readiness: Readiness) {
		this.#tracker = tracker;
		this.#store = store;
		this.#tasks = tasks;
		this.#readiness = readiness;
		readiness.set(firstCollection, 'waiting for the first collection of the counters');
	}

	/**
	 * Runs one collection. Rejects if the kernel refuses something: the snapshot stays as it was
	 * then.
	 */
	async run(yieldLoop: Yield): Promise<void> {
		const waiting = this.#waiting.splice(0);
		try {
			await this.#collect(yieldLoop);
		} finally {
			for (const done of waiting) done();
		}
	}

	/**
	 * Resolves when a collection that begins after this call has ended or failed, after 3 s at the
	 * latest.
	 */
	async next(): Promise<void> {
		const { promise, resolve } = Promise.withResolvers<void>();
		this.#waiting.push(resolve);
		const limit = setTimeout(resolve, nextMs);
		await promise;
		clearTimeout(limit);
	}

	async #collect(yieldLoop: Yield): Promise<void> {
		const snapshot = await this.#store.collect(yieldLoop);
		this.#succeededAt = performance.now();
		this.#readiness.clear(firstCollection);
		this.#readiness.clear('snapshot_stale');
		this.#recent.add(snapshot, () => this.#unknownOptions());
	}

	/** Call it when a collection has failed. */
	recordFailure(error: unknown): void {
		this.#lastError = codeOfError(error);
		if (this.#store.snapshot === undefined) {
			const text = `waiting for the first collection of the counters, which fails (${this.#lastError})`;
			this.#readiness.set(firstCollection, text);
		}
		this.checkAge();
	}

	/** Sets a reason not to be ready if the counters are too old. */
	checkAge(): void {
		const { snapshot } = this.#store;
		if (snapshot === undefined || performance.now() - this.#succeededAt <= staleMs) return;
		const at = new Date(snapshot.atMs).toISOString();
		const why = this.#lastError === undefined ? '' : `, last error: ${this.#lastError}`;
		this.#readiness.set('snapshot_stale', `no collection of the counters has succeeded since ${at}${why}`);
	}

	/** Undefined before the first collection. */
	recent(): RecentTraffic | undefined {
		const { snapshot } = this.#store;
		return snapshot === undefined ? undefined : this.#recent.since(snapshot, this.#unknownOptions());
	}

	/** The latest unknown options that could be read. */
	#unknownOptions(): readonly UnknownOption[] {
		try {
			this.#unknown = this.#tracker?.unknownOptions() ?? [];
		} catch (error) {
			this.#tasks.recordFailure('unknown_options', error);
		}
		return this.#unknown;
	}
}
