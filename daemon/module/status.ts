// SPDX-License-Identifier: Apache-2.0
/** The state of toa.ko on this host, for `toascope module status`. */
import { release } from 'node:os';
import { describePart, installCommand, readDistribution } from '../host/packages.ts';
import { hostRoots, type Roots } from '../host/roots.ts';
import { version } from '../version.ts';
import { isLoadedAtBoot } from './boot.ts';
import { buildDirectory, findBuilt, headersOf, missingParts } from './build.ts';
import { dkmsStatus } from './dkms.ts';
import { findInstalled, type KernelObject } from './kernel_object.ts';
import { describeLoaded, type LoadedModule, readLoaded, supportsModules } from './loaded.ts';
import { type Policy, readPolicy, signedOnlyReason } from './policy.ts';

export interface ModuleStatus {
	/** Version of toascope, and so of the module that belongs to it. */
	readonly version: string;
	readonly kernel: string;
	/** False: this kernel does not support modules (CONFIG_MODULES). */
	readonly takes_modules: boolean;
	readonly loaded: LoadedModule | null;
	/** What modprobe would load. */
	readonly installed: KernelObject | null;
	/** What `module build` has built for this kernel. */
	readonly built: KernelObject | null;
	readonly build: {
		readonly directory: string;
		readonly headers: string;
		/** Prerequisites that are missing, as text. */
		readonly missing: readonly string[];
		/** How to install them; null: nothing is missing. */
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
		takes_modules: supportsModules(roots),
		loaded: readLoaded(roots) ?? null,
		installed: (await findInstalled(release())) ?? null,
		built: (await findBuilt(release(), roots)) ?? null,
		build: {
			directory: buildDirectory(release(), roots),
			headers: headersOf(release(), roots),
			missing: missing.map(describePart),
			install: missing.length === 0 ? null : installCommand(missing, readDistribution(roots)),
		},
		policy: readPolicy(roots),
		dkms: (await dkmsStatus()) ?? null,
		loaded_at_boot: isLoadedAtBoot(roots),
	};
}

/** Formats the status as a table for a terminal. */
export function formatStatus(status: ModuleStatus): string {
	const { loaded, installed, built, build, policy, dkms } = status;
	const object = (one: KernelObject | null) =>
		one === null
			? 'none'
			: `${one.file}, version ${one.version ?? 'none'}, vermagic ${one.vermagic}${one.signed ? ', signed' : ''}`;
	const kernel = 'kernel'.padEnd(14);
	// without module support no other row applies
	if (!status.takes_modules) return `${kernel}${status.kernel}, which does not support modules\n`;
	const rows: [string, string][] = [
		['kernel', status.kernel],
		['loaded', loaded === null ? 'no' : describeLoaded(loaded)],
		...Object.entries(loaded?.parameters ?? {}).map(([name, value]): [string, string] => [
			`  ${name}`,
			value || '(empty)',
		]),
		...(loaded === null ? [] : [['  references', `${loaded.references}`] as [string, string]]),
		['installed', object(installed)],
		['built', object(built)],
		['to build', build.missing.length === 0 ? 'ready' : `missing: ${build.missing.join(', ')}; ${build.install}`],
		['signatures', formatPolicy(policy)],
		['dkms', dkms === null ? 'not installed' : dkms.join('; ') || 'toa is not added'],
		['at boot', status.loaded_at_boot ? 'loaded' : 'not loaded'],
	];
	return rows.map(([name, value]) => `${name.padEnd(14)}${value}\n`).join('');
}

function formatPolicy(policy: Policy): string {
	const { lockdown, signedOnly, secureBoot } = policy;
	const needed =
		signedOnlyReason(policy) === undefined ? 'unsigned modules are accepted' : 'the kernel accepts only signed modules';
	const details = [`lockdown ${lockdown ?? 'unknown'}`, `sig_enforce ${signedOnly ? 'on' : 'off'}`];
	if (secureBoot !== undefined) details.push(`Secure Boot ${secureBoot ? 'on' : 'off'}`);
	return `${needed} (${details.join(', ')})`;
}
