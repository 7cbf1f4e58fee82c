// SPDX-License-Identifier: Apache-2.0
/** One finding of the doctor. Names are stable, so that scripts match names and never the prose. */

/**
 * `warn`: toascope runs, but with something missing or worth knowing. `fail`: it cannot run, or not
 * as configured.
 */
export type State = 'ok' | 'warn' | 'fail';

export interface Check {
	readonly name: string;
	readonly title: string;
	readonly state: State;
	/** What was found. */
	readonly found: string;
	/** The consequence, and what to do about it. */
	readonly advice?: string;
	/** Name of the finding that causes this one: fixing it fixes this one too. See causes.ts. */
	readonly because?: string;
}

/** A check without advice where `advice` is undefined. */
export function check(name: string, title: string, state: State, found: string, advice?: string): Check {
	return advice === undefined ? { name, title, state, found } : { name, title, state, found, advice };
}

/** The finding as a consequence of the finding `because`; undefined: unchanged. */
export function causedBy(because: string | undefined, finding: Check): Check {
	return because === undefined ? finding : { ...finding, because };
}

/** The first line of an error's message. */
export function firstLine(error: unknown): string {
	const text = error instanceof Error ? error.message : String(error);
	return text.split('\n', 1)[0] ?? '';
}
