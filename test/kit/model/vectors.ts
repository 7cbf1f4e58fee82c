// SPDX-License-Identifier: Apache-2.0
/** test/vectors/options.json: option lists with their verdicts, for every build of the parser. */
import { readFileSync } from 'node:fs';
import { defaultConfig } from '../../../daemon/config/load.ts';
import type { Profile } from '../../../daemon/config/profile.ts';
import { profiles } from '../../../daemon/config/profiles.ts';

export interface Expected {
	readonly verdict: 'none' | 'malformed' | 'one' | 'conflict';
	/** Present with `one` and `conflict`, like `family`, `address` and `port`. */
	readonly profile?: string;
	readonly family?: 4 | 6;
	readonly address?: string;
	/** 0 if the profile has no port. */
	readonly port?: number;
	/**
	 * Present if an option names one, with any verdict but `malformed`. `port` is 0 if the option
	 * has none.
	 */
	readonly virtual_server?: { readonly address: string; readonly port: number; readonly vni?: number };
}

/** An entry as written in the file. */
export interface VectorEntry {
	readonly name: string;
	/** Hex, at most 40 bytes. */
	readonly options: string;
	/**
	 * `syn`: the options of a SYN, on which only profiles that are marked for it count. `fastopen`:
	 * those of a SYN that created the socket. Absent: those of any other segment.
	 */
	readonly segment?: 'syn' | 'fastopen';
	/** The active profiles, as in the configuration. Absent: the default profiles. */
	readonly profiles?: readonly unknown[];
	readonly expect: Expected;
}

export interface Vector extends Omit<VectorEntry, 'profiles'> {
	readonly profiles: readonly Profile[];
}

const file = new URL('../../vectors/options.json', import.meta.url);

/** Returns the vectors of SYNs, or those of later segments. */
export function readVectors(segment?: 'syn'): Vector[] {
	return allVectors().filter((vector) => vector.segment === segment);
}

export function allVectors(): Vector[] {
	const entries = JSON.parse(readFileSync(file, 'utf8')) as readonly VectorEntry[];
	return entries.map((entry) => ({
		...entry,
		profiles: entry.profiles === undefined ? defaultConfig().profiles : profiles.parse(entry.profiles),
	}));
}
