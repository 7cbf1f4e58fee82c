// SPDX-License-Identifier: Apache-2.0
/** Installs toa.ko by DKMS (dkms(8)), which builds it again for each new kernel. */
import { existsSync, rmSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { ToascopeError } from '../errors.ts';
import { hostRoots, type Roots } from '../host/roots.ts';
import { lastLines, runTool } from '../host/tool.ts';
import { version } from '../version.ts';
import { buildModule, findBuilt } from './build.ts';
import { copySources } from './sources.ts';

const name = 'toa';

/** Where DKMS expects the sources of a version. */
const sourcesOf = (moduleVersion: string) => `/usr/src/${name}-${moduleVersion}`;

/**
 * The lines of `dkms status` for the module, one for each version and kernel; undefined: dkms is
 * not installed.
 */
export async function dkmsStatus(): Promise<string[] | undefined> {
	const { code, output } = await runTool('dkms', ['status', '-m', name]);
	if (code === undefined) return undefined;
	return output.split('\n').filter((line) => line.startsWith(`${name}/`) || line.startsWith(`${name},`));
}

export interface DkmsEntry {
	readonly version: string;
	/** Undefined: the sources are registered, but not built for any kernel. */
	readonly kernel: string | undefined;
	/** `added`, `built`, `installed`, `installed-weak`, `broken`. */
	readonly state: string;
}

/**
 * Parses the lines of `dkms status`: `toa/VERSION, KERNEL, ARCH: STATE` from DKMS 3, and
 * `toa, VERSION, KERNEL, ARCH: STATE` from DKMS 2.
 */
export function parseDkms(lines: readonly string[]): DkmsEntry[] {
	return lines.flatMap((line) => {
		const found = /^toa(?:\/|, )([^,:\s]+)(?:, ([^,:\s]+), [^,:\s]+)?: (\w[\w-]*)/.exec(line);
		if (found === null) return [];
		const [, moduleVersion = '', kernel, state = ''] = found;
		return [{ version: moduleVersion, kernel, state }];
	});
}

/** The running kernel, and every kernel with an installed toa.ko, which this version replaces. */
export function targetKernels(entries: readonly DkmsEntry[]): string[] {
	const served = entries.filter(({ kernel, state }) => kernel !== undefined && state === 'installed');
	return [...new Set([release(), ...served.map(({ kernel }) => kernel as string)])];
}

/**
 * Installs toa.ko for the running kernel, for every kernel that has one of any version, and for
 * future kernels. Builds it for all of them before it changes anything in DKMS. Returns the steps
 * as text for the user.
 * @throws {ToascopeError} MODULE_BUILD_FAILED, MISSING_TOOL, NO_PRIVILEGE, DKMS_FAILED
 */
export async function installByDkms(roots: Roots = hostRoots): Promise<string[]> {
	const before = parseDkms((await dkmsStatus()) ?? []);
	const { ready, skipped } = await tryKernels(targetKernels(before), roots);
	const sameVersion = before.filter((entry) => entry.version === version);
	// the sources can change without a new version: DKMS would then install what it built before
	for (const { kernel } of sameVersion) {
		if (kernel !== undefined && ready.includes(kernel)) await dkms('remove', version, '-k', kernel);
	}
	copySources(sourcesOf(version));
	const registered = parseDkms((await dkmsStatus()) ?? []);
	if (!registered.some((entry) => entry.version === version)) await dkms('add', version);
	for (const kernel of ready) {
		await dkms('build', version, '-k', kernel);
		await dkms('install', version, '-k', kernel, '--force');
	}
	await removeOlder(before, ready);
	return [
		`${sourcesOf(version)}: the sources`,
		`dkms: built and installed for ${ready.join(', ')}, and for every future kernel`,
		...skipped,
	];
}

/** Builds toa.ko for each kernel. Only the build for the running kernel must succeed. */
async function tryKernels(kernels: readonly string[], roots: Roots): Promise<{ ready: string[]; skipped: string[] }> {
	const ready: string[] = [];
	const skipped: string[] = [];
	for (const kernel of kernels) {
		try {
			if ((await findBuilt(kernel, roots)) === undefined) await buildModule(kernel, roots);
			ready.push(kernel);
		} catch (error) {
			if (kernel === release() || !(error instanceof ToascopeError)) throw error;
			skipped.push(`dkms: ${kernel} keeps its current module: ${error.message}`);
		}
	}
	return { ready, skipped };
}

/**
 * Removes toascope's other versions from the kernels that now have this one. A `toa` that is not
 * toascope's stays.
 */
async function removeOlder(before: readonly DkmsEntry[], ready: readonly string[]): Promise<void> {
	const others = new Set(before.map((entry) => entry.version).filter((other) => other !== version));
	for (const other of others) {
		if (!existsSync(join(sourcesOf(other), 'toa_option.h'))) continue;
		const kernels = before.filter((entry) => entry.version === other).flatMap(({ kernel }) => kernel ?? []);
		for (const kernel of kernels) if (ready.includes(kernel)) await dkms('remove', other, '-k', kernel);
		if (!kernels.every((kernel) => ready.includes(kernel))) continue;
		const remaining = parseDkms((await dkmsStatus()) ?? []);
		if (remaining.some((entry) => entry.version === other)) await dkms('remove', other, '--all');
		rmSync(sourcesOf(other), { recursive: true, force: true });
	}
}

async function dkms(command: string, moduleVersion: string, ...options: readonly string[]): Promise<void> {
	const args = [command, '-m', name, '-v', moduleVersion, ...options];
	const { code, output } = await runTool('dkms', args);
	if (code === 0) return;
	const log = /(\/\S+\/make\.log)/.exec(output)?.[1];
	throw new ToascopeError('DKMS_FAILED', `dkms ${args.join(' ')} failed`, {
		hint:
			log === undefined
				? 'the last lines of its output are below'
				: `the last lines of its output are below; the compiler's output is in ${log}`,
		detail: lastLines(output),
	});
}
