// SPDX-License-Identifier: Apache-2.0
/** Repeats work, one run after the other, and limits its share of the processor time. */
import { type Yield, yieldOnce } from '../event_loop.ts';
import { longestPauseMs, usualPauseFactor } from './cadence.ts';

export interface RepeatingTask {
	/** Resolves when the first run has ended. */
	readonly first: Promise<void>;
	/**
	 * No further run begins, and a run in progress ends at its next yield. Resolves when none is
	 * running.
	 */
	stop(): Promise<void>;
}

/** The work of one run, which can yield. Returns true if more work is waiting. */
export type Work = (yieldLoop: Yield) => unknown;

/** How a run ended. */
export interface Run {
	/** From its start to its end, including other work in between. */
	readonly tookMs: number;
	/** What it threw; absent if it succeeded. */
	readonly error?: unknown;
}

export interface RepeatOptions {
	/** Called after each run, except one that stop() aborted. */
	readonly onEnd?: (run: Run) => void;
	/** The pause is at least this many times the cost of a run. */
	readonly pauseFactor?: number;
	/** Processor time of this thread, in milliseconds. */
	readonly processorMs?: () => number;
}

/** Weight of the latest run in the average cost: a single slow run counts for a quarter. */
const latestShare = 1 / 4;

/** Unlike wall-clock time, it does not grow when other processes use the processor. */
function threadProcessorMs(): number {
	const { user, system } = process.threadCpuUsage();
	return (user + system) / 1000;
}

/**
 * Runs `work` at once and then every `intervalMs`, sooner if more work is waiting. The pause is at
 * least `pauseFactor` times the average processor time of a run, but never longer than
 * `longestPauseMs` (or the interval, if that is longer). A run that throws is followed by the next
 * like any other. The timer does not keep the process alive.
 */
export function repeat(intervalMs: number, work: Work, options: RepeatOptions = {}): RepeatingTask {
	const { onEnd, pauseFactor = usualPauseFactor, processorMs = threadProcessorMs } = options;
	const controller = new AbortController();
	const { signal } = controller;
	let timer: NodeJS.Timeout | undefined;
	let averageMs: number | undefined;

	const run = async (): Promise<void> => {
		const began = performance.now();
		let costMs = 0;
		let more = false;
		let since = processorMs();
		let outcome: { readonly error?: unknown } = {};
		const yieldLoop: Yield = async (until = yieldOnce()) => {
			costMs += processorMs() - since;
			try {
				await until;
			} finally {
				since = processorMs();
			}
			signal.throwIfAborted();
		};
		try {
			more = (await work(yieldLoop)) === true;
		} catch (error) {
			outcome = { error };
		}
		costMs += processorMs() - since;
		averageMs = averageMs === undefined ? costMs : averageMs + (costMs - averageMs) * latestShare;
		if (!('error' in outcome && outcome.error === signal.reason)) {
			onEnd?.({ tookMs: performance.now() - began, ...outcome });
		}
		if (signal.aborted) return;
		timer = setTimeout(
			() => {
				running = run();
			},
			Math.max(more ? 0 : intervalMs, Math.min(averageMs * pauseFactor, longestPauseMs)),
		).unref();
	};
	let running = run();
	return {
		first: running,
		stop() {
			controller.abort();
			clearTimeout(timer);
			return running;
		},
	};
}
