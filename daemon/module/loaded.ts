// SPDX-License-Identifier: Apache-2.0
/** The module `toa` that is loaded: whose it is, and how it fares. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { version as ownVersion } from '../version.ts';
import { hostRoots } from './roots.ts';

/** What no other module of that name has, all at once. */
const ownParameters = ['connections', 'profiles', 'trust'];

/** `other`: toascope's, of another version; `foreign`: somebody else's, such as a vendor's. */
export type Whose = 'own' | 'other' | 'foreign';

/** By its parameters' names and the version that it states. */
export function whoseIs(parameters: readonly string[], version: string | undefined): Whose {
	if (!ownParameters.every((name) => parameters.includes(name))) return 'foreign';
	return version === ownVersion ? 'own' : 'other';
}

export interface Loaded {
	readonly whose: Whose;
	/** Undefined: it states none. */
	readonly version: string | undefined;
	/** A hash of its sources. */
	readonly srcversion: string | undefined;
	readonly parameters: Readonly<Record<string, string>>;
	/** Links and processes that hold it. */
	readonly references: number;
	/** Letters of what the kernel notes about it, such as O (out of tree) and E (unsigned). */
	readonly taint: string;
}

/** The text of a file, trimmed; undefined where it cannot be read. */
export function readText(path: string): string | undefined {
	try {
		return readFileSync(path, 'utf8').trim();
	} catch {
		return undefined;
	}
}

/** False: this kernel takes no modules at all (CONFIG_MODULES). */
export function takesModules({ proc } = hostRoots): boolean {
	return existsSync(join(proc, 'modules'));
}

/** Undefined: none is. */
export function readLoaded({ sys } = hostRoots): Loaded | undefined {
	const directory = join(sys, 'module/toa');
	// one that is on its way in or out is not there yet, or any more
	if (readText(join(directory, 'initstate')) !== 'live') return undefined;
	const parameters = readParameters(join(directory, 'parameters'));
	const version = readText(join(directory, 'version'));
	return {
		whose: whoseIs(Object.keys(parameters), version),
		version,
		srcversion: readText(join(directory, 'srcversion')),
		parameters,
		references: Number(readText(join(directory, 'refcnt')) ?? 0),
		taint: readText(join(directory, 'taint')) ?? '',
	};
}

function readParameters(directory: string): Record<string, string> {
	if (!existsSync(directory)) return {};
	return Object.fromEntries(readdirSync(directory).map((name) => [name, readText(join(directory, name)) ?? '']));
}

/** One line on it, as errors and `module status` have it. */
export function describeLoaded({
	whose,
	version,
	srcversion,
}: Pick<Loaded, 'whose' | 'version' | 'srcversion'>): string {
	const stated = version === undefined ? 'without a version' : `version ${version}`;
	const sources = srcversion === undefined ? '' : `, srcversion ${srcversion}`;
	const by = { own: "toascope's own", other: "toascope's, of another version", foreign: "not toascope's" }[whose];
	return `${stated}${sources}: ${by}`;
}
