// SPDX-License-Identifier: Apache-2.0
/** What a part of the bench hands over: its figures, and the rows that show them. */
import type { Against } from './against.ts';

/** `none`: the measurement is too uncertain, or there is no aim. */
export type Verdict = 'met' | 'falls short' | 'none';

export interface Row {
	/** Stable: `rate`, `program_time`, ... */
	readonly name: string;
	readonly what: string;
	/** With its unit, as shown. */
	readonly value: string;
	readonly aim: string;
	readonly verdict: Verdict;
	readonly note?: string;
}

export interface Part {
	/** Into `results` of the JSON. */
	readonly figures: object;
	readonly rows: readonly Row[];
	/** What is written beside the file of --write, by name. */
	readonly files?: Readonly<Record<string, string>>;
}

/** How much to do. */
export interface Plan {
	readonly quick: boolean;
	/** Of --against: some parts measure its daemon as well. */
	readonly against?: Against | undefined;
	/** Progress, for people. */
	readonly say: (text: string) => void;
}
