// SPDX-License-Identifier: Apache-2.0
/** Medians and their confidence intervals. */

/** A median with its 95 % interval. */
export interface Estimate {
	readonly median: number;
	readonly low: number;
	readonly high: number;
}

const resamples = 10_000;

/** The nearest-rank quantile. */
export function quantile(values: readonly number[], share: number): number {
	const sorted = values.toSorted((a, b) => a - b);
	return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

export function median(values: readonly number[]): number {
	const sorted = values.toSorted((a, b) => a - b);
	const middle = sorted.length >> 1;
	const upper = sorted[middle] ?? Number.NaN;
	return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/**
 * xorshift32 (Marsaglia 2003). The seed is fixed, so that the same values give the same interval.
 */
function randomIndexes(seed: number): (below: number) => number {
	let state = seed;
	return (below) => {
		state ^= state << 13;
		state ^= state >>> 17;
		state ^= state << 5;
		return (state >>> 0) % below;
	};
}

/**
 * The median with the interval of the percentile bootstrap, which assumes nothing about the
 * distribution of the values.
 */
export function estimate(values: readonly number[]): Estimate {
	const random = randomIndexes(2463534242);
	const medians = Array.from({ length: resamples }, () =>
		median(Array.from({ length: values.length }, () => values[random(values.length)] ?? Number.NaN)),
	);
	return { median: median(values), low: quantile(medians, 0.025), high: quantile(medians, 0.975) };
}
