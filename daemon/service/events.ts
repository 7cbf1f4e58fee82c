// SPDX-License-Identifier: Apache-2.0
/** What happens to connections, on its way from the provider's ring to those who listen: spans, live views. */
import { setImmediate as immediate } from 'node:timers/promises';
import type { Provider } from '../capture/provider.ts';
import type { ConnectionEvent } from '../model/connection.ts';

/** The kernel wakes nobody for a record: drain() is due so often. */
export const drainMs = 50;
/** Records that are not taken are lost: it may have four fifths of the time. */
export const drainPauseFactor = 0.25;
/** At the end: enough for all of the ring, if it is not much larger than usual. */
const lastDrainMs = 500;

export type Listener = (event: ConnectionEvent) => void;

export class Events {
	readonly #provider: Provider;
	readonly #listeners: readonly Listener[];

	/** From now on the kernel sends events of these types, and drain() is to be called. */
	constructor(provider: Provider, types: readonly ConnectionEvent['type'][], listeners: readonly Listener[]) {
		this.#provider = provider;
		this.#listeners = listeners;
		provider.listen(...types);
	}

	/** Hands over what has come, for some milliseconds. True: more is waiting. */
	drain(): boolean {
		return this.#provider.drain((event) => {
			for (const listener of this.#listeners) listener(event);
		});
	}

	/**
	 * No event comes any more, and those that are in the ring are handed over. Returns how many there was no time for: they
	 * are lost, but where the ring is `kept` for the next daemon.
	 */
	async end(kept: boolean): Promise<number> {
		this.#provider.listen();
		// a program that had begun may still send one
		await this.#provider.counters.runsOver();
		const until = performance.now() + lastDrainMs;
		while (this.drain()) {
			if (performance.now() > until) return kept ? 0 : this.#provider.discard();
			await immediate();
		}
		return 0;
	}
}
