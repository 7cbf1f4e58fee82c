// SPDX-License-Identifier: Apache-2.0
/**
 * Sends OTLP requests and retries them as the protocol specifies. The SDK has transports of its
 * own, but their requests cannot be cancelled: a collector that hangs would delay the stop of the
 * daemon by 10 s.
 */
import { setTimeout as delay } from 'node:timers/promises';

/** The outcome of one attempt. */
export type Attempt =
	| { readonly status: 'done'; readonly body: Uint8Array }
	| { readonly status: 'failed'; readonly error: Error }
	| { readonly status: 'retry'; readonly error: Error; readonly afterMs?: number };

export interface Channel {
	/** Sends once; also resolves when `signal` aborts. Never rejects. */
	attempt(body: Uint8Array, signal: AbortSignal): Promise<Attempt>;
	close(): void;
}

export interface Transport {
	/**
	 * Sends within the time limit, and resolves with the body of the response. Rejects with the
	 * error of the last attempt.
	 */
	send(body: Uint8Array): Promise<Uint8Array>;
	/** Ends the sends in progress and all later ones with an error. Can be called repeatedly. */
	close(): void;
}

const FIRST_DELAY_MS = 1000;
const LAST_DELAY_MS = 5000;
const GROWTH = 1.5;

/**
 * Retries over `channel`, within `timeoutMs` for each send. The pause between attempts grows from
 * 1 s to 5 s, and varies at random by a fifth.
 */
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
			// the earlier error says more than the fact that the send was cancelled
			if (closing.signal.aborted) throw last ?? closing.signal.reason;
			last = attempt.error;
			if (limit.aborted) throw new Error(`no response within ${timeoutMs} ms`);
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
