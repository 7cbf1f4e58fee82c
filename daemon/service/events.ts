// SPDX-License-Identifier: Apache-2.0
/** What happens to connections, on its way from the provider's ring to those who listen: spans, live views. */
import { setImmediate as immediate } from 'node:timers/promises';
import type { OnFailure, Provider } from '../capture/provider.ts';
import { Deadline, withinMs } from '../deadline.ts';
import type { ConnectionEvent } from '../model/connection.ts';

/** At the end: enough for all of the ring, if it is not much larger than usual. */
const lastDrainMs = 500;

export type Listener = (event: ConnectionEvent) => void;

export class Events {
	readonly #provider: Provider;
	readonly #listeners: readonly Listener[];
	readonly #onFailure: OnFailure;

	/** From now on the kernel sends events of these types, and drain() is to be called. */
	constructor(
		provider: Provider,
		types: readonly ConnectionEvent['type'][],
		listeners: readonly Listener[],
		onFailure: OnFailure,
	) {
		this.#provider = provider;
		this.#listeners = listeners;
		this.#onFailure = onFailure;
		provider.listen(...types);
	}

	/** Hands over what has come, for some milliseconds. True: more is waiting. */
	drain(): boolean {
		return this.#provider.drain((event) => {
			for (const listener of this.#listeners) {
				// the others are to have it all the same
				try {
					listener(event);
				} catch (error) {
					this.#onFailure('listeners', error);
				}
			}
		}, this.#onFailure);
	}

	/**
	 * No event comes any more, and those that are in the ring are handed over, as far as there is time. Returns how many there was no time for: they
	 * are lost, but where the ring is `kept` for the next daemon.
	 */
	async end(kept: boolean, deadline: Deadline): Promise<number> {
		this.#provider.listen();
		// a program that had begun may still send one
		await withinMs(this.#provider.counters.runsOver(), deadline.leftMs);
		const last = new Deadline(deadline.atMost(lastDrainMs));
		while (this.#drainOnce()) {
			if (last.leftMs === 0) return kept ? 0 : this.#provider.discard();
			await immediate();
		}
		return 0;
	}

	/** False as well where the kernel refuses: at an end there is no next time. */
	#drainOnce(): boolean {
		try {
			return this.drain();
		} catch (error) {
			this.#onFailure('drain', error);
			return false;
		}
	}
}
