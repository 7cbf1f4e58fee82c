// SPDX-License-Identifier: Apache-2.0
/** Work that comes again and again, one run after the other, never more of the processor's time than it is due. */
import { setImmediate as immediate } from 'node:timers/promises';
import type { NextTurn } from '../model/store.ts';
import { longestPauseMs, usualPauseFactor } from './cadence.ts';

export interface Repeated {
	/** Resolves when the first run has ended. */
	readonly first: Promise<void>;
	/** No run begins any more, and one that is under way ends at its next turn. Resolves when none is. */
	stop(): Promise<void>;
}

/** What is done in one run, at once or in turns. Comes out as true: more of it is waiting. */
export type Work = (nextTurn: NextTurn) => unknown;

/** How a run ended. */
export interface Run {
	/** From its begin to its end, other work in between included. */
	readonly tookMs: number;
	/** What it threw; absent where it succeeded. */
	readonly error?: unknown;
}

export interface RepeatOptions {
	/** Called after each run but one that stop() gave up. */
	readonly onEnd?: (run: Run) => void;
	/** The pause is at least so many times what a run costs. */
	readonly pauseFactor?: number;
	/** Processor time of this thread, in milliseconds. */
	readonly processorMs?: () => number;
}

/** How much of the latest run is in the average cost: a single slow one weighs a quarter. */
const latestShare = 1 / 4;

/** The processor's other users do not lengthen this, as they do the wall clock's time. */
function threadProcessorMs(): number {
	const { user, system } = process.threadCpuUsage();
	return (user + system) / 1000;
}

/**
 * Runs `work` now and then every `intervalMs`, sooner where more is waiting. The pause is at least `pauseFactor` times the average
 * processor time of a run, but never longer than `longestPauseMs` (or the interval, where that is longer).
 * One that throws comes again like any other. The timer does not keep the process alive.
 */
export function repeat(intervalMs: number, work: Work, options: RepeatOptions = {}): Repeated {
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
		const nextTurn: NextTurn = async (until = immediate()) => {
			costMs += processorMs() - since;
			try {
				await until;
			} finally {
				since = processorMs();
			}
			signal.throwIfAborted();
		};
		try {
			more = (await work(nextTurn)) === true;
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
