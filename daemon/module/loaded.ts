// SPDX-License-Identifier: Apache-2.0
/** Describes the loaded module `toa`: its origin, version, parameters and users. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { readText } from '../host/files.ts';
import { hostRoots } from '../host/roots.ts';
import { version as ownVersion } from '../version.ts';

/** Parameters that only toascope's module has all of. */
const ownParameters = ['connections', 'profiles', 'trust'];

/** `other`: toascope's, of another version; `foreign`: not toascope's, such as a vendor's. */
export type Origin = 'own' | 'other' | 'foreign';

/** Decides by the names of the parameters and by the version that the module states. */
export function originOf(parameters: readonly string[], version: string | undefined): Origin {
	if (!ownParameters.every((name) => parameters.includes(name))) return 'foreign';
	return version === ownVersion ? 'own' : 'other';
}

export interface LoadedModule {
	readonly origin: Origin;
	/** Undefined: the module states none. */
	readonly version: string | undefined;
	/** A hash of its sources. */
	readonly srcversion: string | undefined;
	readonly parameters: Readonly<Record<string, string>>;
	/** Number of references that links and processes hold. */
	readonly references: number;
	/** The kernel's taint letters for the module, such as O (out of tree) and E (unsigned). */
	readonly taint: string;
}

/** False: this kernel does not support modules (CONFIG_MODULES). */
export function supportsModules({ proc } = hostRoots): boolean {
	return existsSync(join(proc, 'modules'));
}

/** Undefined: no module `toa` is loaded. */
export function readLoaded({ sys } = hostRoots): LoadedModule | undefined {
	const directory = join(sys, 'module/toa');
	// a module that is just being loaded or unloaded does not count
	if (readText(join(directory, 'initstate')) !== 'live') return undefined;
	const parameters = readParameters(join(directory, 'parameters'));
	const version = readText(join(directory, 'version'));
	return {
		origin: originOf(Object.keys(parameters), version),
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

/** Describes the module in one line, for errors and `module status`. */
export function describeLoaded({
	origin,
	version,
	srcversion,
}: Pick<LoadedModule, 'origin' | 'version' | 'srcversion'>): string {
	const stated = version === undefined ? 'without a version' : `version ${version}`;
	const sources = srcversion === undefined ? '' : `, srcversion ${srcversion}`;
	const by = { own: "toascope's own", other: "toascope's, of another version", foreign: "not toascope's" }[origin];
	return `${stated}${sources}: ${by}`;
}
