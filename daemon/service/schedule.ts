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

/** What is done in one run, at once or in turns. Comes out as true: more of it is waiting. */
export type Work = (nextTurn: NextTurn) => unknown;

/** Of what may come less often when it is slow: it has a twentieth of the time. */
const usualPauseFactor = 20;

/**
 * Runs `work` now and then every `intervalMs`, sooner where more is waiting. The pause is at least `pauseFactor` times what
 * the run held the event loop. One that throws is told, and comes again. The timer does not keep the process alive.
 */
export function repeat(
	intervalMs: number,
	work: Work,
	onError: (error: unknown) => void,
	pauseFactor = usualPauseFactor,
): Repeated {
	const controller = new AbortController();
	const { signal } = controller;
	let timer: NodeJS.Timeout | undefined;

	const run = async (): Promise<void> => {
		let tookMs = 0;
		let more = false;
		let since = performance.now();
		const nextTurn: NextTurn = async (until = immediate()) => {
			tookMs += performance.now() - since;
			try {
				await until;
			} finally {
				since = performance.now();
			}
			signal.throwIfAborted();
		};
		try {
			more = (await work(nextTurn)) === true;
		} catch (error) {
			if (error !== signal.reason) onError(error);
		}
		tookMs += performance.now() - since;
		if (signal.aborted) return;
		timer = setTimeout(
			() => {
				running = run();
			},
			Math.max(more ? 0 : intervalMs, tookMs * pauseFactor),
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
