// SPDX-License-Identifier: Apache-2.0
/**
 * When open connections are flushed: usually every `flushMs`, and every `lookupFlushMs` while lookups
 * read them. What a span is given of its connection is then about as old as the span.
 */
import { flushMs } from './cadence.ts';

export class FlushPace {
	#latestMs = Number.NEGATIVE_INFINITY;
	#isWanted = false;

	/** A lookup reads what open connections have done. */
	want(): void {
		this.#isWanted = true;
	}

	/** Whether to flush now. `nowMs`: monotonic. */
	take(nowMs = performance.now()): boolean {
		if (!this.#isWanted && nowMs - this.#latestMs < flushMs) return false;
		this.#isWanted = false;
		this.#latestMs = nowMs;
		return true;
	}
}
