// SPDX-License-Identifier: Apache-2.0
/** One time limit for several steps: each of them can use what is left of it. */

/**
 * Waits for `work`, at most `timeoutMs`. Returns false when it has not finished by then: it
 * continues, and its failure is ignored.
 */
export async function withinMs(work: Promise<unknown>, timeoutMs: number): Promise<boolean> {
	let timer: NodeJS.Timeout | undefined;
	const timeout = new Promise<false>((resolve) => {
		timer = setTimeout(resolve, Math.max(0, timeoutMs), false);
	});
	try {
		return await Promise.race([work.then(() => true), timeout]);
	} finally {
		clearTimeout(timer);
	}
}

export class Deadline {
	readonly #untilMs: number;

	/** The deadline is `ms` milliseconds from now. */
	constructor(ms: number) {
		this.#untilMs = performance.now() + ms;
	}

	/** The time that is left, in milliseconds; never below 0. */
	get remainingMs(): number {
		return Math.max(0, this.#untilMs - performance.now());
	}

	/** The time that is left, but at most `ms`. */
	atMost(ms: number): number {
		return Math.min(ms, this.remainingMs);
	}
}
