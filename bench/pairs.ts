// SPDX-License-Identifier: Apache-2.0
/** Runs of arms in pairs: what two arms that differ in nothing tell of the others. */
import type { Verdict } from './result.ts';
import { type Estimate, estimate } from './statistics.ts';

/** A control whose interval leaves 1 by more gives no verdict. */
const controlSpread = 0.01;

export type Comparison<T> = (run: T, other: T) => number;

/** Each run against the one of the same round. */
export function compare<T>(runs: readonly T[], others: readonly T[], how: Comparison<T>): Estimate {
	return estimate(runs.map((run, round) => how(run, others[round] as T)));
}

export function spreads({ low, high }: Estimate): boolean {
	return low < 1 - controlSpread || high > 1 + controlSpread;
}

export function judge(ratio: Estimate, control: Estimate, atLeast: number): Verdict {
	if (spreads(control)) return 'none';
	return ratio.median >= atLeast ? 'met' : 'falls short';
}

/** What the row of the control says. */
export function spreadNote(control: Estimate): string {
	return spreads(control) ? 'spreads over 1 %: no verdict' : 'spreads within 1 %';
}

export function show({ median: middle, low, high }: Estimate, digits = 3): string {
	return `${middle.toFixed(digits)} [${low.toFixed(digits)}, ${high.toFixed(digits)}]`;
}
