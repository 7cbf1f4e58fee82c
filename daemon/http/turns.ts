// SPDX-License-Identifier: Apache-2.0
/** Work that takes its time, in stretches between which the event loop serves others. */
import { setImmediate as immediate } from 'node:timers/promises';

/** After this long at a stretch, milliseconds, the event loop gets its turn. */
const stretchMs = 4;

export class Turns {
	#since = performance.now();

	/** The stretch has been long enough: next() is to be awaited. */
	get due(): boolean {
		return performance.now() - this.#since > stretchMs;
	}

	async next(): Promise<void> {
		await immediate();
		this.#since = performance.now();
	}
}

/**
 * Pieces of work of many requests, one after the other. A hundred requests that wait for one promise would otherwise all
 * go on in the turn of the event loop in which it resolves.
 */
export class Series {
	#last: Promise<unknown> = Promise.resolve();
	#turns = new Turns();

	run<T>(work: () => T): Promise<T> {
		const done = this.#last.then(async () => {
			if (this.#turns.due) await this.#turns.next();
			return work();
		});
		this.#last = done.catch(() => {});
		return done;
	}
}
