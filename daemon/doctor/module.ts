// SPDX-License-Identifier: Apache-2.0
/** The kernel module: loaded, or what it would take. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { profiles as readProfiles } from '../config/profiles.ts';
import { buildDirectory, missingParts } from '../module/build.ts';
import { type KernelObject, parseModinfo } from '../module/kernel_object.ts';
import { describeLoaded, type Loaded, readLoaded, takesModules } from '../module/loaded.ts';
import { howToInstall, inWords, type Part, readDistribution } from '../module/packages.ts';
import { beyondModule } from '../module/parameters.ts';
import { type Policy, readPolicy, whySignedOnly } from '../module/policy.ts';
import { hostRoots } from '../module/roots.ts';
import { runToolNow } from '../module/tool.ts';
import { type Check, check } from './check.ts';
import type { Values } from './configuration.ts';

/** What decides whether toa.ko can be had here. */
export interface ModuleFacts {
	/** False: this kernel takes none at all. */
	readonly takesModules: boolean;
	readonly loaded: Loaded | undefined;
	/** What modprobe would load, where that is toascope's, of this version. */
	readonly installed: Pick<KernelObject, 'signed'> | undefined;
	/** One was built for this kernel. */
	readonly built: boolean;
	/** What building it takes and is not here, and how that comes here. */
	readonly missing: readonly Part[];
	readonly install: string;
	readonly policy: Policy;
}

export function readModuleFacts(release: string): ModuleFacts {
	const missing = missingParts(release);
	return {
		takesModules: takesModules(),
		loaded: readLoaded(),
		installed: readInstalled(release),
		built: existsSync(join(buildDirectory(release), 'toa.ko')),
		missing,
		install: howToInstall(missing, readDistribution(hostRoots)),
		policy: readPolicy(),
	};
}

function readInstalled(release: string): KernelObject | undefined {
	const { code, output } = runToolNow('modinfo', ['-k', release, 'toa']);
	const object = code === 0 ? parseModinfo(output) : undefined;
	return object?.whose === 'own' ? object : undefined;
}

/** Whether it is there, or could be. */
export interface ModuleOutlook {
	readonly works: boolean;
	/** Without being built: what `auto` takes. */
	readonly ready: boolean;
	/** It is loaded: what `auto` takes where 32-bit servers listen. */
	readonly loaded?: boolean;
	readonly found: string;
	readonly advice?: string;
}

export function moduleOutlook(facts: ModuleFacts): ModuleOutlook {
	const { takesModules, loaded, installed, built, missing, install, policy } = facts;
	if (!takesModules)
		return { works: false, ready: false, found: 'this kernel takes no modules', advice: 'set provider to bpf' };
	if (loaded !== undefined) {
		const found = `loaded: ${describeLoaded(loaded)}`;
		if (loaded.whose === 'own') return { works: true, ready: true, loaded: true, found };
		const away = loaded.whose === 'foreign' ? 'rmmod toa' : 'toascope module unload';
		return { works: false, ready: false, found, advice: `${away}, or set provider to bpf` };
	}
	if (installed?.signed === true) {
		return { works: true, ready: true, found: 'not loaded; installed for this kernel, and signed' };
	}
	if (whySignedOnly(policy) !== undefined) {
		const found = 'not loaded, and this kernel takes signed modules alone';
		return { works: false, ready: false, found, advice: 'sign it, or set provider to bpf' };
	}
	if (installed !== undefined) return { works: true, ready: true, found: 'not loaded; installed for this kernel' };
	if (built) return { works: true, ready: true, found: 'not loaded; built for this kernel' };
	if (missing.length === 0) {
		return { works: true, ready: false, found: 'not loaded; all that building it takes is here' };
	}
	return {
		works: false,
		ready: false,
		found: `not loaded, and building it takes ${missing.map(inWords).join(', ')}`,
		advice: install,
	};
}

/** With the provider `module`: profiles that say more than toa.ko can. */
export function moduleProfilesCheck({ profiles }: Values): Check[] {
	const beyond = beyondModule(readProfiles.safeParse(profiles).data ?? []);
	if (beyond.length === 0) return [];
	const found = `${beyond.join(', ')}: toa.ko tells no virtual server and knows no uses, only clients`;
	return [check('module_profiles', 'Profiles beyond toa.ko', 'warn', found, 'set provider to bpf')];
}

/** `needed`: the provider is `module`, so that what is missing is a fault. */
export function moduleCheck({ works, found, advice }: ModuleOutlook, needed: boolean): Check {
	return check(
		'module',
		'Kernel module (toa.ko)',
		works || !needed ? 'ok' : 'fail',
		found,
		needed ? advice : undefined,
	);
}
