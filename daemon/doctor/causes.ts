// SPDX-License-Identifier: Apache-2.0
/** Folds findings with one cause into one, so that the reader fixes one thing. */
import type { Check, State } from './check.ts';

/** A finding and its consequences. */
export interface Finding {
	readonly check: Check;
	/** The worst state among the finding and its consequences. */
	readonly state: State;
	readonly consequences: readonly Check[];
}

const states: readonly State[] = ['ok', 'warn', 'fail'];

/** Folds each consequence under the end of its chain of causes. Keeps the order of the checks. */
export function foldConsequences(checks: readonly Check[]): Finding[] {
	const byName = new Map(checks.map((each) => [each.name, each]));
	const consequences = new Map<Check, Check[]>(checks.map((each) => [each, []]));
	for (const each of checks) {
		const root = rootCause(each, byName);
		if (root !== each) consequences.get(root)?.push(each);
	}
	return checks
		.filter((each) => rootCause(each, byName) === each)
		.map((each) => {
			const follows = consequences.get(each) ?? [];
			const worst = Math.max(...[each, ...follows].map(({ state }) => states.indexOf(state)));
			return { check: each, state: states[worst] ?? each.state, consequences: follows };
		});
}

/**
 * The last finding in the chain of causes that exists and is not `ok`. The finding itself if there
 * is none, or if the chain is a cycle.
 */
function rootCause(finding: Check, byName: ReadonlyMap<string, Check>): Check {
	let root = finding;
	// bounded by the number of findings, so that a cycle ends as well
	for (let steps = 0; steps < byName.size; steps++) {
		const cause = root.because === undefined || root.state === 'ok' ? undefined : byName.get(root.because);
		if (cause === undefined || cause.state === 'ok') return root;
		root = cause;
	}
	return finding;
}
