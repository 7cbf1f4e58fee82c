// SPDX-License-Identifier: Apache-2.0
/** One limit of time for a number of steps, each of which may take what is left of it. */

/** Waits for `work`, for so long at most. False: it is not over yet, and goes on by itself; its failure is nobody's then. */
export async function withinMs(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
	let timer: NodeJS.Timeout | undefined;
	const over = new Promise<false>((resolve) => {
		timer = setTimeout(resolve, Math.max(0, timeoutMs), false);
	});
	try {
		return await Promise.race([work.then(() => true), over]);
	} finally {
		clearTimeout(timer);
	}
}

export class Deadline {
	readonly #untilMs: number;

	/** `ms` from now on. */
	constructor(ms: number) {
		this.#untilMs = performance.now() + ms;
	}

	/** Milliseconds; never below 0. */
	get leftMs(): number {
		return Math.max(0, this.#untilMs - performance.now());
	}

	/** What is left, but at most so much. */
	atMost(ms: number): number {
		return Math.min(ms, this.leftMs);
	}
}
