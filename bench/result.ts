// SPDX-License-Identifier: Apache-2.0
/** The result of a part of the bench: its figures, and the rows that show them. */
import type { ComparedVersion } from './against.ts';

/** `none`: the measurement is too uncertain, or there is no aim. */
export type Verdict = 'met' | 'falls short' | 'none';

export interface Row {
	/** Stable: `rate`, `program_time`, ... */
	readonly name: string;
	readonly what: string;
	/** As shown, with its unit. */
	readonly value: string;
	readonly aim: string;
	readonly verdict: Verdict;
	readonly note?: string;
}

export interface Part {
	/** The part's entry in `results` of the JSON. */
	readonly figures: object;
	readonly rows: readonly Row[];
	/** Contents of further files that are written beside that of --write, by name. */
	readonly files?: Readonly<Record<string, string>>;
}

/** What to measure, and how thoroughly. */
export interface Plan {
	readonly quick: boolean;
	/** The version of --against, whose daemon some parts measure as well. */
	readonly against?: ComparedVersion | undefined;
	/** Prints a progress message. */
	readonly say: (text: string) => void;
}
