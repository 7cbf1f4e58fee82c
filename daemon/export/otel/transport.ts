// SPDX-License-Identifier: Apache-2.0
/**
 * Sends OTLP requests and repeats them as the protocol says. The SDK has transports of its own, but what they have begun
 * can't be stopped: a collector that hangs would hold the daemon back for 10 s when it stops.
 */
import { setTimeout as delay } from 'node:timers/promises';

/** What became of one attempt. */
export type Attempt =
	| { readonly status: 'done'; readonly body: Uint8Array }
	| { readonly status: 'failed'; readonly error: Error }
	| { readonly status: 'retry'; readonly error: Error; readonly afterMs?: number };

export interface Channel {
	/** Sends once; settles when `signal` aborts. Never rejects. */
	attempt(body: Uint8Array, signal: AbortSignal): Promise<Attempt>;
	close(): void;
}

export interface Transport {
	/** Sends within the time limit; the body of the answer. Rejects with the last attempt's error. */
	send(body: Uint8Array): Promise<Uint8Array>;
	/** Ends what is under way, and all that comes later, with an error. Harmless when repeated. */
	close(): void;
}

const FIRST_DELAY_MS = 1000;
const LAST_DELAY_MS = 5000;
const GROWTH = 1.5;

/** Repeats over `channel`, within `timeoutMs` for each send: 1 s between attempts, growing to 5 s, a fifth of it at random. */
export function createTransport(channel: Channel, timeoutMs: number): Transport {
	const closing = new AbortController();

	async function send(body: Uint8Array): Promise<Uint8Array> {
		closing.signal.throwIfAborted();
		const deadline = performance.now() + timeoutMs;
		const limit = AbortSignal.timeout(timeoutMs);
		const signal = AbortSignal.any([closing.signal, limit]);
		let last: Error | undefined;
		for (let backoff = FIRST_DELAY_MS; ; backoff = Math.min(backoff * GROWTH, LAST_DELAY_MS)) {
			const attempt = await channel.attempt(body, signal);
			if (attempt.status === 'done') return attempt.body;
			// why it failed before says more than that it was given up
			if (closing.signal.aborted) throw last ?? closing.signal.reason;
			last = attempt.error;
			if (limit.aborted) throw new Error(`no answer within ${timeoutMs} ms`);
			if (attempt.status === 'failed') throw attempt.error;
			const waitMs = attempt.afterMs ?? backoff * (0.8 + 0.4 * Math.random());
			if (performance.now() + waitMs > deadline) throw attempt.error;
			await delay(waitMs, undefined, { signal: closing.signal }).catch(() => {
				throw attempt.error;
			});
		}
	}

	return {
		send,
		close() {
			closing.abort(new Error('the exporter is shutting down'));
			channel.close();
		},
	};
}
