// SPDX-License-Identifier: Apache-2.0
/** The kernel module: whether it is loaded, and if not, whether it can be. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { profiles as readProfiles } from '../config/profiles.ts';
import { describePart, installCommand, type Prerequisite, readDistribution } from '../host/packages.ts';
import { hostRoots } from '../host/roots.ts';
import { runToolSync } from '../host/tool.ts';
import { buildDirectory, missingParts } from '../module/build.ts';
import { type KernelObject, parseModinfo } from '../module/kernel_object.ts';
import { describeLoaded, type LoadedModule, readLoaded, supportsModules } from '../module/loaded.ts';
import { unsupportedProfiles } from '../module/parameters.ts';
import { type Policy, readPolicy, signedOnlyReason } from '../module/policy.ts';
import { type Check, check } from './check.ts';
import type { Values } from './configuration.ts';

/** What decides whether toa.ko can be loaded here. */
export interface ModuleFacts {
	/** False: this kernel does not support modules (CONFIG_MODULES). */
	readonly supportsModules: boolean;
	readonly loaded: LoadedModule | undefined;
	/** The module that modprobe would load, if it is toascope's and of this version. */
	readonly installed: Pick<KernelObject, 'signed'> | undefined;
	/** A module was built for this kernel. */
	readonly built: boolean;
	/** What building it requires and this host lacks. */
	readonly missing: readonly Prerequisite[];
	/** The command that installs what is missing. */
	readonly install: string;
	readonly policy: Policy;
}

export function readModuleFacts(release: string): ModuleFacts {
	const missing = missingParts(release);
	return {
		supportsModules: supportsModules(),
		loaded: readLoaded(),
		installed: readInstalled(release),
		built: existsSync(join(buildDirectory(release), 'toa.ko')),
		missing,
		install: installCommand(missing, readDistribution(hostRoots)),
		policy: readPolicy(),
	};
}

function readInstalled(release: string): KernelObject | undefined {
	const { code, output } = runToolSync('modinfo', ['-k', release, 'toa']);
	const object = code === 0 ? parseModinfo(output) : undefined;
	return object?.origin === 'own' ? object : undefined;
}

/** Whether the module works on this host, or could be made to. */
export interface ModuleForecast {
	readonly works: boolean;
	/** It works without being built first, which `auto` requires. */
	readonly ready: boolean;
	/** It is loaded, which `auto` requires to choose it for 32-bit servers. */
	readonly loaded?: boolean;
	readonly found: string;
	readonly advice?: string;
}

export function moduleForecast(facts: ModuleFacts): ModuleForecast {
	const { loaded, installed, built, missing, install, policy } = facts;
	if (!facts.supportsModules)
		return { works: false, ready: false, found: 'this kernel does not support modules', advice: 'set provider to bpf' };
	if (loaded !== undefined) {
		const found = `loaded: ${describeLoaded(loaded)}`;
		if (loaded.origin === 'own') return { works: true, ready: true, loaded: true, found };
		const unload = loaded.origin === 'foreign' ? 'rmmod toa' : 'toascope module unload';
		return { works: false, ready: false, found, advice: `${unload}, or set provider to bpf` };
	}
	if (installed?.signed === true) {
		return { works: true, ready: true, found: 'not loaded; installed for this kernel and signed' };
	}
	if (signedOnlyReason(policy) !== undefined) {
		const found = 'not loaded; this kernel accepts only signed modules';
		return { works: false, ready: false, found, advice: 'sign it, or set provider to bpf' };
	}
	if (installed !== undefined) return { works: true, ready: true, found: 'not loaded; installed for this kernel' };
	if (built) return { works: true, ready: true, found: 'not loaded; built for this kernel' };
	if (missing.length === 0) {
		return { works: true, ready: false, found: 'not loaded; everything needed to build it is installed' };
	}
	return {
		works: false,
		ready: false,
		found: `not loaded; cannot be built without ${missing.map(describePart).join(', ')}`,
		advice: install,
	};
}

/** With the provider `module`: profiles with settings that toa.ko does not support. */
export function moduleProfilesCheck({ profiles }: Values): Check[] {
	const unsupported = unsupportedProfiles(readProfiles.safeParse(profiles).data ?? []);
	if (unsupported.length === 0) return [];
	const found = `${unsupported.join(', ')}: toa.ko reports only clients, not virtual servers, and ignores uses`;
	return [check('module_profiles', 'Unsupported by toa.ko', 'warn', found, 'set provider to bpf')];
}

/** `needed`: the provider is `module`, so a module that does not work is a failure. */
export function moduleCheck({ works, found, advice }: ModuleForecast, needed: boolean): Check {
	return check(
		'module',
		'Kernel module (toa.ko)',
		works || !needed ? 'ok' : 'fail',
		found,
		needed ? advice : undefined,
	);
}
