// SPDX-License-Identifier: Apache-2.0
/**
 * Connection events, on their way from the provider's ring to their consumers: spans, connection
 * records and live views.
 */

import type { EnabledEvents, OnFailure, Tracker } from '../capture/provider.ts';
import { Deadline, withinMs } from '../deadline.ts';
import { yieldOnce } from '../event_loop.ts';
import type { ConnectionEvent } from '../model/connection.ts';

/** Time for the last drain: enough for the whole ring, unless it is much larger than usual. */
const lastDrainMs = 500;

export type EventConsumer = (event: ConnectionEvent) => void;

export class Events {
	readonly #tracker: Tracker;
	readonly #consumers: readonly EventConsumer[];
	readonly #onFailure: OnFailure;

	/** Makes the kernel emit these records. The caller must call drain() regularly. */
	constructor(tracker: Tracker, events: EnabledEvents, consumers: readonly EventConsumer[], onFailure: OnFailure) {
		this.#tracker = tracker;
		this.#consumers = consumers;
		this.#onFailure = onFailure;
		tracker.enableEvents(events);
	}

	/** Delivers the events in the ring, for some milliseconds. True: more are waiting. */
	drain(): boolean {
		return this.#tracker.drain((event) => {
			for (const consumer of this.#consumers) {
				// a consumer that fails must not keep the event from the others
				try {
					consumer(event);
				} catch (error) {
					this.#onFailure('listeners', error);
				}
			}
		}, this.#onFailure);
	}

	/**
	 * Stops the recording of events, and delivers those in the ring as far as time permits. Returns
	 * how many were dropped because time ran out: 0 where the ring is `kept` for the next daemon.
	 */
	async end(kept: boolean, deadline: Deadline): Promise<number> {
		this.#tracker.enableEvents({});
		// a program run that had begun can still record one
		await withinMs(this.#tracker.counters.synchronize(), deadline.remainingMs);
		const last = new Deadline(deadline.atMost(lastDrainMs));
		while (this.#drainOnce()) {
			if (last.remainingMs === 0) return kept ? 0 : this.#tracker.discard();
			await yieldOnce();
		}
		return 0;
	}

	/** Also false if the kernel refuses: after the end there is no next drain. */
	#drainOnce(): boolean {
		try {
			return this.drain();
		} catch (error) {
			this.#onFailure('drain', error);
			return false;
		}
	}
}
