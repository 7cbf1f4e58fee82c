// SPDX-License-Identifier: Apache-2.0
/** Sends a batch of spans or records, and again while the receiver is away. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Outcome, Receiver } from './receiver.ts';
import type { SignalHealth } from './signal_health.ts';

/** The pauses after the packages have given up a request: each is twice the one before. */
const firstPauseMs = 1000;
const lastPauseMs = 30_000;

/** What became of a batch. */
export interface BatchOutcome {
	readonly exported: number;
	readonly failed: number;
}

export class BatchSender<Items> {
	readonly #receiver: Receiver<Items>;
	readonly #health: SignalHealth;
	readonly #ending = new AbortController();

	constructor(receiver: Receiver<Items>, health: SignalHealth) {
		this.#receiver = receiver;
		this.#health = health;
	}

	/** Resolves when the receiver has accepted or refused the batch, or abort() gives it up. */
	async send(items: Items, count: number): Promise<BatchOutcome> {
		const { signal } = this.#ending;
		for (let pauseMs = firstPauseMs; !signal.aborted; pauseMs = Math.min(2 * pauseMs, lastPauseMs)) {
			const outcome = await this.#request(items);
			if (outcome === undefined) break;
			const exported = this.#health.count(count, outcome);
			this.#health.settle(outcome.error);
			if (outcome.error === undefined || !outcome.retryable) return { exported, failed: count - exported };
			// at random, so that not all daemons of a fleet return to a receiver at once
			const waitMs = outcome.delayMs + pauseMs * (0.5 + Math.random() / 2);
			await delay(waitMs, undefined, { signal }).catch(() => {});
		}
		return { exported: 0, failed: count };
	}

	/** Undefined: abort() was called. The packages cannot cancel a request, so it is not awaited. */
	#request(items: Items): Promise<Outcome | undefined> {
		const { signal } = this.#ending;
		const { promise, resolve } = Promise.withResolvers<Outcome | undefined>();
		const giveUp = () => resolve(undefined);
		signal.addEventListener('abort', giveUp, { once: true });
		void this.#receiver.send(items).then((outcome) => {
			signal.removeEventListener('abort', giveUp);
			resolve(outcome);
		});
		return promise;
	}

	/** Gives up what has not been accepted. */
	abort(): void {
		this.#ending.abort();
		this.#receiver.close();
	}
}
