// SPDX-License-Identifier: Apache-2.0
/**
 * Which connections have a span. The kernel samples by the configured ratio; while connections close
 * faster than spans can be sent, a lower ratio is in force. So what would be lost is sampled out
 * instead, and the spans still stand for the right number of connections.
 */
import type { Logger } from 'pino';
import { logLine } from '../../../log_line.ts';
import { logLines } from '../../../log_lines.ts';
import type { ConnectionEvent } from '../../../model/connection.ts';
import { ratioOf, sampleAll, sampleNone, thresholdOf, traceRandomness } from '../../../model/sampling.ts';

export interface SpanSamplingOptions {
	/** The configured ratio, from 0 to 1. */
	readonly ratio: number;
	/** Puts a threshold in force in the kernel. */
	readonly setThreshold: (threshold: bigint) => void;
	/**
	 * False: other telemetry needs the records of all connections, so a lower ratio does not empty the
	 * ring.
	 */
	readonly relievesRing: boolean;
	readonly logger: Logger;
}

/** A fuller ring means that the daemon is too slow: it drains the ring every 50 ms. */
const ringShareMax = 1 / 2;
/** A lower ratio takes effect on the fill level of the ring within this time. */
const ringStepMs = 100;
/** The same for the queue, which the receiver empties; until then, the queue thins out by itself. */
const queueStepMs = 1000;
/** The ratio rises again after this time without overload, by this factor. */
const calmMs = 2000;
const riseFactor = 1.5;
/** The ratio is not halved more often: fewer spans would not make the daemon faster. */
const stepsMax = 10;
/** From here on, each further sixteenth of the queue halves the ratio. */
const queueThinFrom = 1 / 2;
const queueSteps = 16;
/** The rate of connections is measured over this time. */
const rateMs = 1000;

export class SpanSampling {
	readonly #options: SpanSamplingOptions;
	#configured: bigint;
	/** In force in the kernel; at least the configured one. */
	#threshold: bigint;
	/** The queue thinned out spans since the last adjust(). */
	#thinned = false;
	#ringShare = 0;
	#steppedAtMs = Number.NEGATIVE_INFINITY;
	#busyAtMs = Number.NEGATIVE_INFINITY;
	/** Connections that the events since `sinceMs` stand for. */
	#closed = { connections: 0, sinceMs: performance.now() };
	#perSecond = 0;

	constructor(options: SpanSamplingOptions) {
		this.#options = options;
		this.#configured = thresholdOf(options.ratio);
		this.#threshold = this.#configured;
		options.setThreshold(this.#threshold);
	}

	/** Puts another configured ratio in force; a lower one that overload requires stays in force. */
	configure(ratio: number): void {
		const threshold = thresholdOf(ratio);
		if (threshold === this.#configured) return;
		const wasLowered = this.#threshold > this.#configured;
		this.#configured = threshold;
		this.#set(wasLowered && this.#threshold > threshold ? this.#threshold : threshold);
		if (wasLowered) this.#logIfRestored();
	}

	/** The configured ratio, and the one in force. */
	get ratios(): { readonly configured: number; readonly current: number } {
		return { configured: ratioOf(this.#configured), current: ratioOf(this.#threshold) };
	}

	/**
	 * The threshold that the span of this connection carries; undefined: it has none. `queued`: the
	 * part of the queue that is in use, from 0 to 1. `isAway`: the receiver accepts nothing; the queue
	 * then fills, however few spans there are.
	 */
	admit({ type, connection, sample }: ConnectionEvent, queued: number, isAway = false): bigint | undefined {
		if (sample === undefined) return undefined;
		if (sample.by === 'condition') return sampleAll;
		if (type === 'closed') this.#closed.connections += 1 / ratioOf(sample.threshold);
		let threshold = sample.threshold > this.#threshold ? sample.threshold : this.#threshold;
		if (queued > queueThinFrom) {
			threshold = halved(threshold, Math.ceil((queued - queueThinFrom) * queueSteps));
			this.#thinned ||= !isAway;
		}
		// what the kernel has already decided need not be decided again
		if (threshold > sample.threshold && traceRandomness(connection) < threshold) return undefined;
		return threshold;
	}

	/** To be called after each drain of the ring, with the part of it that is still in use. */
	adjust(ringShare: number, nowMs = performance.now()): void {
		// a ring that empties already needs no lower ratio
		const isFull = this.#options.relievesRing && ringShare > ringShareMax;
		const fillsRing = isFull && ringShare >= this.#ringShare;
		const fillsQueue = this.#thinned;
		this.#ringShare = ringShare;
		this.#thinned = false;
		if (nowMs - this.#closed.sinceMs >= rateMs) this.#measureRate(nowMs);
		const sinceStepMs = nowMs - this.#steppedAtMs;
		if (isFull || fillsQueue) this.#busyAtMs = nowMs;
		if ((fillsRing && sinceStepMs >= ringStepMs) || (fillsQueue && sinceStepMs >= queueStepMs)) {
			this.#stepDown(nowMs);
		} else if (this.#threshold > this.#configured && nowMs - this.#busyAtMs >= calmMs) {
			this.#busyAtMs = nowMs;
			this.#stepUp();
		}
	}

	#measureRate(nowMs: number): void {
		this.#perSecond = Math.round((1000 * this.#closed.connections) / (nowMs - this.#closed.sinceMs));
		this.#closed = { connections: 0, sinceMs: nowMs };
	}

	#stepDown(nowMs: number): void {
		const before = this.#threshold;
		const threshold = halved(before, 1);
		const lowest = halved(this.#configured, stepsMax);
		if (threshold > lowest || threshold === before || lowest === sampleNone) return;
		if (this.#perSecond === 0 && nowMs > this.#closed.sinceMs) this.#measureRate(nowMs);
		this.#steppedAtMs = nowMs;
		this.#set(threshold);
		if (before === this.#configured) {
			logLine(this.#options.logger, logLines.spansSampledDown, {
				connections_per_second: this.#perSecond,
				ratio: ratioOf(threshold),
				configured: ratioOf(this.#configured),
			});
		}
	}

	#stepUp(): void {
		const risen = thresholdOf(Math.min(1, ratioOf(this.#threshold) * riseFactor));
		this.#set(risen < this.#configured ? this.#configured : risen);
		this.#logIfRestored();
	}

	#logIfRestored(): void {
		if (this.#threshold !== this.#configured) return;
		logLine(this.#options.logger, logLines.spansSampledAgain, { ratio: ratioOf(this.#configured) });
	}

	#set(threshold: bigint): void {
		this.#options.setThreshold(threshold);
		this.#threshold = threshold;
	}
}

/** The threshold for a ratio that is halved so many times. */
function halved(threshold: bigint, times: number): bigint {
	return sampleNone - ((sampleNone - threshold) >> BigInt(times));
}
