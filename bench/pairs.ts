// SPDX-License-Identifier: Apache-2.0
/**
 * Comparisons of arms in pairs of runs. A control of two identical arms shows how reliable the
 * other comparisons are.
 */
import type { Verdict } from './result.ts';
import { type Estimate, estimate } from './statistics.ts';

/** There is no verdict if the control's interval extends further from 1. */
const controlSpread = 0.01;

export type Comparison<T> = (run: T, other: T) => number;

/** Compares each run with the other arm's run of the same round. */
export function compare<T>(runs: readonly T[], others: readonly T[], how: Comparison<T>): Estimate {
	return estimate(runs.map((run, round) => how(run, others[round] as T)));
}

export function isInconclusive({ low, high }: Estimate): boolean {
	return low < 1 - controlSpread || high > 1 + controlSpread;
}

export function verdictOf(ratio: Estimate, control: Estimate, atLeast: number): Verdict {
	if (isInconclusive(control)) return 'none';
	return ratio.median >= atLeast ? 'met' : 'falls short';
}

/** The note of the control's row. */
export function spreadNote(control: Estimate): string {
	return isInconclusive(control) ? 'interval exceeds ±1 %: no verdict' : 'interval within ±1 %';
}

export function formatEstimate({ median: middle, low, high }: Estimate, digits = 3): string {
	return `${middle.toFixed(digits)} [${low.toFixed(digits)}, ${high.toFixed(digits)}]`;
}
