// SPDX-License-Identifier: Apache-2.0
/** Work that comes again and again, one run after the other, never more of the time than it is due. */
import { setImmediate as immediate } from 'node:timers/promises';
import type { NextTurn } from '../model/store.ts';

export interface Repeated {
	/** Resolves when the first run has ended. */
	readonly first: Promise<void>;
	/** No run begins any more, and one that is under way ends at its next turn. Resolves when none is. */
	stop(): Promise<void>;
}

/** The pause is at least so many times what the run held the event loop: slow work comes less often. */
const pauseFactor = 20;

/**
 * Runs `work` now and then every `intervalMs`. One that throws is told, and comes again.
 * The timer does not keep the process alive.
 */
export function repeat(
	intervalMs: number,
	work: (nextTurn: NextTurn) => void | Promise<void>,
	onError: (error: unknown) => void,
): Repeated {
	const controller = new AbortController();
	const { signal } = controller;
	let timer: NodeJS.Timeout | undefined;

	const run = async (): Promise<void> => {
		let tookMs = 0;
		let since = performance.now();
		const nextTurn = async () => {
			tookMs += performance.now() - since;
			await immediate();
			signal.throwIfAborted();
			since = performance.now();
		};
		try {
			await work(nextTurn);
		} catch (error) {
			if (error !== signal.reason) onError(error);
		}
		tookMs += performance.now() - since;
		if (signal.aborted) return;
		timer = setTimeout(
			() => {
				running = run();
			},
			Math.max(intervalMs, tookMs * pauseFactor),
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
