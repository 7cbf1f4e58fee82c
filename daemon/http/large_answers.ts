// SPDX-License-Identifier: Apache-2.0
/**
 * Places for answers of megabytes, which are held in memory while they wait for their readers. Where all places are
 * taken, an answer whose reader is slow is broken off for the next in the queue, so nobody keeps others out by not reading.
 */
import type { Socket } from 'node:net';
import { countByCaller, type HttpConnection, roomFor } from './connections.ts';

export interface LargeAnswerLimits {
	/** Answers on their way, over all connections; one on each connection. */
	readonly largeAnswers: number;
	/** Milliseconds that an answer may take to be read. */
	readonly largeAnswerMs: number;
	/** An answer that its reader holds up makes room for another one, but not sooner than this. */
	readonly largeAnswerGraceMs: number;
	/** A request waits so long for a place. */
	readonly largeAnswerQueueMs: number;
}

export interface LargeAnswersOptions {
	readonly limits: LargeAnswerLimits;
	/** Told of each reader whose connection ends: its time was over, or it was the slowest. */
	readonly onEnded: (limit: 'large_answer_time' | 'large_answers_slowest', caller: string) => void;
}

/** While all places are taken and none can be freed yet. */
const againMs = 100;

interface Waiting {
	readonly connection: HttpConnection;
	/** False: the time to wait is over. */
	readonly settle: (place: boolean) => void;
}

interface Answer {
	readonly connection: HttpConnection;
	readonly startMs: number;
	/** What the connection had sent before. */
	readonly sentBefore: number;
	readonly timer: NodeJS.Timeout;
}

export class LargeAnswers {
	readonly #options: LargeAnswersOptions;
	/** Of each connection at most one. */
	readonly #underWay = new Map<HttpConnection, Answer>();
	readonly #queue = new Set<Waiting>();
	#again: NodeJS.Timeout | undefined;

	constructor(options: LargeAnswersOptions) {
		this.#options = options;
	}

	/** Resolves when the answer may be made; false: no place became free in time. leave() gives the place back. */
	enter(connection: HttpConnection): Promise<boolean> {
		return new Promise((resolve) => {
			const gone = () => waiting.settle(false);
			const timer = setTimeout(gone, this.#options.limits.largeAnswerQueueMs).unref();
			const waiting: Waiting = {
				connection,
				settle: (place) => {
					clearTimeout(timer);
					connection.socket.off('close', gone);
					this.#queue.delete(waiting);
					resolve(place);
				},
			};
			connection.socket.once('close', gone);
			this.#queue.add(waiting);
			this.#serve();
		});
	}

	leave(connection: HttpConnection): void {
		const answer = this.#underWay.get(connection);
		if (answer === undefined) return;
		clearTimeout(answer.timer);
		this.#underWay.delete(connection);
		this.#serve();
	}

	#serve(): void {
		for (let next = this.#next(); next !== undefined; next = this.#next()) {
			if (this.#underWay.size >= this.#options.limits.largeAnswers && !this.#makeRoom(next.connection.caller)) return;
			this.#start(next);
		}
	}

	/** The one that has waited for longest among those of the caller with the fewest answers on their way. */
	#next(): Waiting | undefined {
		const counts = countByCaller(this.#underWay.keys());
		let best: Waiting | undefined;
		let fewest = Number.POSITIVE_INFINITY;
		for (const waiting of this.#queue) {
			const { connection } = waiting;
			const count = counts.get(connection.caller) ?? 0;
			if (count >= fewest || this.#underWay.has(connection)) continue;
			[best, fewest] = [waiting, count];
		}
		return best;
	}

	#start({ connection, settle }: Waiting): void {
		const { largeAnswerMs } = this.#options.limits;
		const timer = setTimeout(() => this.#end(connection, 'large_answer_time'), largeAnswerMs).unref();
		const sentBefore = sentBytes(connection.socket);
		this.#underWay.set(connection, { connection, startMs: performance.now(), sentBefore, timer });
		settle(true);
	}

	/**
	 * Breaks off the answer that is read most slowly, of the caller with the most of them, the asking one counted; where each
	 * has one and the asking one none, of all. One
	 * that waits for us and not for its reader is left alone. False: to be tried again, when one is old enough.
	 */
	#makeRoom(caller: string): boolean {
		const makesRoom = roomFor(this.#underWay.keys(), caller);
		const now = performance.now();
		const unread = [...this.#underWay.values()].filter(
			({ connection, startMs }) =>
				makesRoom(connection.caller) &&
				connection.socket.writableLength > 0 &&
				now - startMs >= this.#options.limits.largeAnswerGraceMs,
		);
		const [slowest] = unread.sort((one, other) => rate(one, now) - rate(other, now));
		if (slowest === undefined) {
			clearTimeout(this.#again);
			this.#again = setTimeout(() => this.#serve(), againMs).unref();
			return false;
		}
		this.#end(slowest.connection, 'large_answers_slowest');
		return true;
	}

	#end(connection: HttpConnection, limit: Parameters<LargeAnswersOptions['onEnded']>[0]): void {
		const answer = this.#underWay.get(connection);
		if (answer === undefined) return;
		clearTimeout(answer.timer);
		this.#underWay.delete(connection);
		this.#options.onEnded(limit, connection.caller);
		connection.socket.destroy();
	}
}

/** Bytes that the kernel has taken. */
function sentBytes(socket: Socket): number {
	return socket.bytesWritten - socket.writableLength;
}

/** Bytes a millisecond since the place was given. */
function rate({ connection, startMs, sentBefore }: Answer, now: number): number {
	return (sentBytes(connection.socket) - sentBefore) / Math.max(now - startMs, 1);
}
