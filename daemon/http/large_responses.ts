// SPDX-License-Identifier: Apache-2.0
/**
 * Slots for responses of megabytes, which are held in memory while they wait for their readers. If
 * all slots are in use, a response with a slow reader is aborted for the next request in the queue,
 * so that no caller keeps others out by not reading.
 */
import type { Socket } from 'node:net';
import { countByCaller, displaceableCallers, type HttpConnection } from './connections.ts';

export interface LargeResponseLimits {
	/** Responses in progress, over all connections; at most one on each connection. */
	readonly largeResponses: number;
	/** Milliseconds within which a response must be read. */
	readonly largeResponseMs: number;
	/** Milliseconds before a response can be aborted because its reader holds it up. */
	readonly largeResponseGraceMs: number;
	/** Milliseconds that a request waits for a slot. */
	readonly largeResponseQueueMs: number;
}

export interface LargeResponsesOptions {
	readonly limits: LargeResponseLimits;
	/** Called for each connection that is closed, because of its time limit or its slow reader. */
	readonly onEnded: (limit: 'large_answer_time' | 'large_answers_slowest', caller: string) => void;
}

/** Milliseconds between two attempts while all slots are in use and none can be freed yet. */
const retryMs = 100;

interface WaitingResponse {
	readonly connection: HttpConnection;
	/** Called with false if no slot became free in time, or the connection has closed. */
	readonly resolve: (acquired: boolean) => void;
}

interface ActiveResponse {
	readonly connection: HttpConnection;
	readonly startMs: number;
	/** Bytes that the connection had sent before this response. */
	readonly sentBefore: number;
	readonly timer: NodeJS.Timeout;
}

export class LargeResponses {
	readonly #options: LargeResponsesOptions;
	/** At most one response for each connection. */
	readonly #active = new Map<HttpConnection, ActiveResponse>();
	readonly #queue = new Set<WaitingResponse>();
	#retryTimer: NodeJS.Timeout | undefined;

	constructor(options: LargeResponsesOptions) {
		this.#options = options;
	}

	/**
	 * Resolves with true when the response has a slot, and with false if none became free in time.
	 * release() frees the slot.
	 */
	acquire(connection: HttpConnection): Promise<boolean> {
		return new Promise((resolve) => {
			const giveUp = () => waiting.resolve(false);
			const timer = setTimeout(giveUp, this.#options.limits.largeResponseQueueMs).unref();
			const waiting: WaitingResponse = {
				connection,
				resolve: (acquired) => {
					clearTimeout(timer);
					connection.socket.off('close', giveUp);
					this.#queue.delete(waiting);
					resolve(acquired);
				},
			};
			connection.socket.once('close', giveUp);
			this.#queue.add(waiting);
			this.#serve();
		});
	}

	release(connection: HttpConnection): void {
		const active = this.#active.get(connection);
		if (active === undefined) return;
		clearTimeout(active.timer);
		this.#active.delete(connection);
		this.#serve();
	}

	#serve(): void {
		for (let next = this.#next(); next !== undefined; next = this.#next()) {
			if (this.#active.size >= this.#options.limits.largeResponses && !this.#makeRoom(next.connection.caller)) return;
			this.#start(next);
		}
	}

	/** The oldest request of the caller with the fewest responses in progress. */
	#next(): WaitingResponse | undefined {
		const counts = countByCaller(this.#active.keys());
		let best: WaitingResponse | undefined;
		let fewest = Number.POSITIVE_INFINITY;
		for (const waiting of this.#queue) {
			const { connection } = waiting;
			const count = counts.get(connection.caller) ?? 0;
			if (count >= fewest || this.#active.has(connection)) continue;
			[best, fewest] = [waiting, count];
		}
		return best;
	}

	#start({ connection, resolve }: WaitingResponse): void {
		const { largeResponseMs } = this.#options.limits;
		const timer = setTimeout(() => this.#end(connection, 'large_answer_time'), largeResponseMs).unref();
		const sentBefore = sentBytes(connection.socket);
		this.#active.set(connection, { connection, startMs: performance.now(), sentBefore, timer });
		resolve(true);
	}

	/**
	 * Aborts the response that is read most slowly, from those of the caller with the most (the
	 * waiting one counted); if every caller has one and the waiting one has none, from all of them.
	 * A response that waits for the server and not for its reader is not aborted. Returns false if
	 * there is none to abort; a timer then tries again, when one is old enough.
	 */
	#makeRoom(caller: string): boolean {
		const makesRoom = displaceableCallers(this.#active.keys(), caller);
		const now = performance.now();
		const unread = [...this.#active.values()].filter(
			({ connection, startMs }) =>
				makesRoom(connection.caller) &&
				connection.socket.writableLength > 0 &&
				now - startMs >= this.#options.limits.largeResponseGraceMs,
		);
		const [slowest] = unread.sort((a, b) => rate(a, now) - rate(b, now));
		if (slowest === undefined) {
			clearTimeout(this.#retryTimer);
			this.#retryTimer = setTimeout(() => this.#serve(), retryMs).unref();
			return false;
		}
		this.#end(slowest.connection, 'large_answers_slowest');
		return true;
	}

	#end(connection: HttpConnection, limit: Parameters<LargeResponsesOptions['onEnded']>[0]): void {
		const active = this.#active.get(connection);
		if (active === undefined) return;
		clearTimeout(active.timer);
		this.#active.delete(connection);
		this.#options.onEnded(limit, connection.caller);
		connection.socket.destroy();
	}
}

/** Bytes that the kernel has accepted. */
function sentBytes(socket: Socket): number {
	return socket.bytesWritten - socket.writableLength;
}

/** Bytes per millisecond since the response got its slot. */
function rate({ connection, startMs, sentBefore }: ActiveResponse, now: number): number {
	return (sentBytes(connection.socket) - sentBefore) / Math.max(now - startMs, 1);
}
