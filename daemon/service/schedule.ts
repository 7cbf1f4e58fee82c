// SPDX-License-Identifier: Apache-2.0
/** Work that comes again and again, one run after the other, never more of the time than it is due. */

export interface Repeated {
	/** No run begins any more. */
	stop(): void;
}

/** The pause is at least so many times what the run took: slow work comes less often. */
const pauseFactor = 20;

/**
 * Runs `work` now and then every `intervalMs`. One that throws is told, and comes again.
 * The timer does not keep the process alive.
 */
export function repeat(intervalMs: number, work: () => void, onError: (error: unknown) => void): Repeated {
	let timer: NodeJS.Timeout | undefined;
	let stopped = false;
	const run = () => {
		const begun = performance.now();
		try {
			work();
		} catch (error) {
			onError(error);
		}
		const took = performance.now() - begun;
		if (!stopped) timer = setTimeout(run, Math.max(intervalMs, took * pauseFactor)).unref();
	};
	run();
	return {
		stop() {
			stopped = true;
			clearTimeout(timer);
		},
	};
}
