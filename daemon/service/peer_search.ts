// SPDX-License-Identifier: Apache-2.0
/**
 * The search for the busiest peers. It reads the whole connection table, so it does not run for
 * every request.
 */

import type { Tracker } from '../capture/provider.ts';
import { yieldOnce } from '../event_loop.ts';
import type { Peers } from '../model/peers.ts';
import { peersMs } from './cadence.ts';
import type { Tasks } from './tasks.ts';

export class PeerSearch {
	readonly #tracker: Tracker;
	readonly #tasks: Tasks;
	#latest: { readonly found: Promise<Peers>; untilMs: number } | undefined;
	#ended = false;

	constructor(tracker: Tracker, tasks: Tasks) {
		this.#tracker = tracker;
		this.#tasks = tasks;
	}

	/**
	 * Runs one search at a time and in `peersMs`, however many requests there are. Undefined if the
	 * kernel refuses it, or after end().
	 */
	async find(): Promise<Peers | undefined> {
		try {
			return await this.#search();
		} catch (error) {
			if (!this.#ended) this.#tasks.recordFailure('peers', error);
			return undefined;
		}
	}

	#search(): Promise<Peers> {
		if (this.#latest !== undefined && performance.now() < this.#latest.untilMs) return this.#latest.found;
		const found = this.#tracker.peers(async () => {
			await yieldOnce();
			if (this.#ended) throw new Error('the daemon is stopping');
		});
		const latest = { found, untilMs: Number.POSITIVE_INFINITY };
		this.#latest = latest;
		// counted from its end: on a busy machine a search takes longer than `peersMs`, and a
		// second one beside it would make it worse
		const began = performance.now();
		const ended = () => {
			latest.untilMs = Math.max(began + peersMs, performance.now() + (performance.now() - began));
		};
		void found.then(ended, ended);
		return found;
	}

	/** Ends a search that is running at its next yield. */
	end(): void {
		this.#ended = true;
	}
}
