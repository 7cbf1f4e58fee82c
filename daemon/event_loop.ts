// SPDX-License-Identifier: Apache-2.0
/** Yielding: long work returns to the event loop in between, so that other work is served. */
import { setImmediate } from 'node:timers/promises';

/**
 * Yields once. With `until`, a promise that the work waits for, it resolves when `until` has
 * resolved; this wait does not count as time of the work. Rejects when the work is cancelled, and
 * when `until` rejects.
 */
export type Yield = (until?: Promise<unknown>) => Promise<void>;

/** Resolves after the event loop has served what was pending. */
export async function yieldOnce(): Promise<void> {
	await setImmediate();
}

/** The longest time that work occupies the event loop, in milliseconds. */
const sliceMs = 4;

/** Decides when work must yield: `if (slice.expired) await slice.yield()`. */
export class TimeSlice {
	#since = performance.now();

	get expired(): boolean {
		return performance.now() - this.#since > sliceMs;
	}

	/** Yields, and begins a new slice. */
	async yield(): Promise<void> {
		await yieldOnce();
		this.#since = performance.now();
	}
}

/**
 * Runs the work of many requests one after the other, a time slice at a time. Otherwise a hundred
 * requests that wait for one promise would all continue in the same iteration of the event loop.
 */
export class WorkQueue {
	#last: Promise<unknown> = Promise.resolve();
	#slice = new TimeSlice();

	run<T>(work: () => T): Promise<T> {
		const done = this.#last.then(async () => {
			if (this.#slice.expired) await this.#slice.yield();
			return work();
		});
		this.#last = done.catch(() => {});
		return done;
	}
}
