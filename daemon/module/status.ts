// SPDX-License-Identifier: Apache-2.0
/** How toa.ko fares on this host. */
import { release } from 'node:os';
import { version } from '../version.ts';
import { isLoadedAtBoot } from './boot.ts';
import { buildDirectory, findBuilt, headersOf, missingParts } from './build.ts';
import { dkmsStatus } from './dkms.ts';
import { findInstalled, type KernelObject } from './kernel_object.ts';
import { describeLoaded, type Loaded, readLoaded, takesModules } from './loaded.ts';
import { howToInstall, inWords, readDistribution } from './packages.ts';
import { type Policy, readPolicy, whySignedOnly } from './policy.ts';
import { hostRoots, type Roots } from './roots.ts';

export interface ModuleStatus {
	/** Of toascope, and so of the module that goes with it. */
	readonly version: string;
	readonly kernel: string;
	/** False: this kernel takes none (CONFIG_MODULES). */
	readonly takes_modules: boolean;
	readonly loaded: Loaded | null;
	/** What modprobe would load. */
	readonly installed: KernelObject | null;
	/** What `module build` has built for this kernel. */
	readonly built: KernelObject | null;
	readonly build: {
		readonly directory: string;
		readonly headers: string;
		/** What is not here, in words, and how it comes here. */
		readonly missing: readonly string[];
		readonly install: string | null;
	};
	readonly policy: Policy;
	/** Lines of `dkms status`; null: dkms is not installed. */
	readonly dkms: readonly string[] | null;
	readonly loaded_at_boot: boolean;
}

export async function readStatus(roots: Roots = hostRoots): Promise<ModuleStatus> {
	const missing = missingParts(release(), roots);
	return {
		version,
		kernel: release(),
		takes_modules: takesModules(roots),
		loaded: readLoaded(roots) ?? null,
		installed: (await findInstalled(release())) ?? null,
		built: (await findBuilt(release(), roots)) ?? null,
		build: {
			directory: buildDirectory(release(), roots),
			headers: headersOf(release(), roots),
			missing: missing.map(inWords),
			install: missing.length === 0 ? null : howToInstall(missing, readDistribution(roots)),
		},
		policy: readPolicy(roots),
		dkms: (await dkmsStatus()) ?? null,
		loaded_at_boot: isLoadedAtBoot(roots),
	};
}

/** For people. */
export function formatStatus(status: ModuleStatus): string {
	const { loaded, installed, built, build, policy, dkms } = status;
	const object = (one: KernelObject | null) =>
		one === null
			? 'none'
			: `${one.file}, version ${one.version ?? 'none'}, vermagic ${one.vermagic}${one.signed ? ', signed' : ''}`;
	const kernel = 'kernel'.padEnd(14);
	// nothing of the rest can be done here
	if (!status.takes_modules) return `${kernel}${status.kernel}, which takes no modules\n`;
	const rows: [string, string][] = [
		['kernel', status.kernel],
		['loaded', loaded === null ? 'no' : describeLoaded(loaded)],
		...Object.entries(loaded?.parameters ?? {}).map(([name, value]): [string, string] => [
			`  ${name}`,
			value || '(empty)',
		]),
		...(loaded === null ? [] : [['  in use by', `${loaded.references}`] as [string, string]]),
		['installed', object(installed)],
		['built', object(built)],
		['to build', build.missing.length === 0 ? 'all is here' : `missing: ${build.missing.join(', ')}; ${build.install}`],
		['signatures', formatPolicy(policy)],
		['dkms', dkms === null ? 'not installed' : dkms.join('; ') || 'toa is not added'],
		['at boot', status.loaded_at_boot ? 'loaded' : 'not loaded'],
	];
	return rows.map(([name, value]) => `${name.padEnd(14)}${value}\n`).join('');
}

function formatPolicy(policy: Policy): string {
	const { lockdown, signedOnly, secureBoot } = policy;
	const needed =
		whySignedOnly(policy) === undefined ? 'unsigned modules are taken' : 'the kernel takes signed modules alone';
	const told = [`lockdown ${lockdown ?? 'not told'}`, `sig_enforce ${signedOnly ? 'on' : 'off'}`];
	if (secureBoot !== undefined) told.push(`Secure Boot ${secureBoot ? 'on' : 'off'}`);
	return `${needed} (${told.join(', ')})`;
}
