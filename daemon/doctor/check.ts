// SPDX-License-Identifier: Apache-2.0
/** One finding of the doctor. Names are stable: scripts match them, never the prose. */

/** `warn`: toascope runs, with something less or something to know. `fail`: it cannot run, or not as configured. */
export type State = 'ok' | 'warn' | 'fail';

export interface Check {
	readonly name: string;
	readonly title: string;
	readonly state: State;
	/** What was found. */
	readonly found: string;
	/** What follows, and what to do about it. */
	readonly advice?: string;
	/** Name of the finding that this one follows from: once that is mended, so is this. See causes.ts. */
	readonly because?: string;
}

/** A check without advice where `advice` is undefined. */
export function check(name: string, title: string, state: State, found: string, advice?: string): Check {
	return advice === undefined ? { name, title, state, found } : { name, title, state, found, advice };
}

/** The same finding as a consequence of another; undefined: of none. */
export function dueTo(because: string | undefined, of: Check): Check {
	return because === undefined ? of : { ...of, because };
}

/** What an error says, in one line. */
export function firstLine(error: unknown): string {
	const text = error instanceof Error ? error.message : String(error);
	return text.split('\n', 1)[0] ?? '';
}
