// SPDX-License-Identifier: Apache-2.0
/** DKMS (dkms(8)) builds toa.ko for each new kernel. */
import { existsSync, rmSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { ToascopeError } from '../errors.ts';
import { version } from '../version.ts';
import { buildModule, findBuilt } from './build.ts';
import { hostRoots, type Roots } from './roots.ts';
import { copySources } from './sources.ts';
import { lastLines, runTool } from './tool.ts';

const name = 'toa';

/** Where DKMS looks for the sources of a version. */
const sourcesOf = (of: string) => `/usr/src/${name}-${of}`;

/** What `dkms status` says of the module, a line for each version and kernel; undefined: dkms is not installed. */
export async function dkmsStatus(): Promise<string[] | undefined> {
	const { code, output } = await runTool('dkms', ['status', '-m', name]);
	if (code === undefined) return undefined;
	return output.split('\n').filter((line) => line.startsWith(`${name}/`) || line.startsWith(`${name},`));
}

export interface DkmsEntry {
	readonly version: string;
	/** Undefined: its sources are known, and it was built for no kernel. */
	readonly kernel: string | undefined;
	/** `added`, `built`, `installed`, `installed-weak`, `broken`. */
	readonly state: string;
}

/** Lines of version 3, `toa/VERSION, KERNEL, ARCH: STATE`, and of 2, `toa, VERSION, KERNEL, ARCH: STATE`. */
export function parseDkms(lines: readonly string[]): DkmsEntry[] {
	return lines.flatMap((line) => {
		const found = /^toa(?:\/|, )([^,:\s]+)(?:, ([^,:\s]+), [^,:\s]+)?: (\w[\w-]*)/.exec(line);
		if (found === null) return [];
		const [, of = '', kernel, state = ''] = found;
		return [{ version: of, kernel, state }];
	});
}

/** The running kernel, and those that have one, which is to be of this version too. */
export function kernelsToServe(entries: readonly DkmsEntry[]): string[] {
	const served = entries.filter(({ kernel, state }) => kernel !== undefined && state === 'installed');
	return [...new Set([release(), ...served.map(({ kernel }) => kernel as string)])];
}

/**
 * Installs it for the running kernel, for those that had one of any version, and for each to come. It is built for all
 * of them first: until that is done nothing of DKMS is touched. Returns the steps, in words.
 * @throws {ToascopeError} MODULE_BUILD_FAILED, MISSING_TOOL, NO_PRIVILEGE, DKMS_FAILED
 */
export async function installByDkms(roots: Roots = hostRoots): Promise<string[]> {
	const before = parseDkms((await dkmsStatus()) ?? []);
	const { ready, left } = await tryKernels(kernelsToServe(before), roots);
	const same = before.filter((entry) => entry.version === version);
	// the sources may have changed under one version: DKMS would take what it has built
	for (const { kernel } of same) {
		if (kernel !== undefined && ready.includes(kernel)) await dkms('remove', version, '-k', kernel);
	}
	copySources(sourcesOf(version));
	const now = parseDkms((await dkmsStatus()) ?? []);
	if (!now.some((entry) => entry.version === version)) await dkms('add', version);
	for (const kernel of ready) {
		await dkms('build', version, '-k', kernel);
		await dkms('install', version, '-k', kernel, '--force');
	}
	await forgetOlder(before, ready);
	return [
		`${sourcesOf(version)}: the sources`,
		`dkms: built and installed for ${ready.join(', ')}, and for each kernel to come`,
		...left,
	];
}

/** Builds it for each. Only the running kernel must succeed. */
async function tryKernels(kernels: readonly string[], roots: Roots): Promise<{ ready: string[]; left: string[] }> {
	const ready: string[] = [];
	const left: string[] = [];
	for (const kernel of kernels) {
		try {
			if ((await findBuilt(kernel, roots)) === undefined) await buildModule(kernel, roots);
			ready.push(kernel);
		} catch (error) {
			if (kernel === release() || !(error instanceof ToascopeError)) throw error;
			left.push(`dkms: ${kernel} keeps the module that it has: ${error.message}`);
		}
	}
	return { ready, left };
}

/** Takes toascope's other versions away from the kernels that have this one; somebody else's `toa` stays. */
async function forgetOlder(before: readonly DkmsEntry[], ready: readonly string[]): Promise<void> {
	const others = new Set(before.map((entry) => entry.version).filter((other) => other !== version));
	for (const other of others) {
		if (!existsSync(join(sourcesOf(other), 'toa_option.h'))) continue;
		const kernels = before.filter((entry) => entry.version === other).flatMap(({ kernel }) => kernel ?? []);
		for (const kernel of kernels) if (ready.includes(kernel)) await dkms('remove', other, '-k', kernel);
		if (!kernels.every((kernel) => ready.includes(kernel))) continue;
		const rest = parseDkms((await dkmsStatus()) ?? []);
		if (rest.some((entry) => entry.version === other)) await dkms('remove', other, '--all');
		rmSync(sourcesOf(other), { recursive: true, force: true });
	}
}

async function dkms(what: string, of: string, ...more: readonly string[]): Promise<void> {
	const args = [what, '-m', name, '-v', of, ...more];
	const { code, output } = await runTool('dkms', args);
	if (code === 0) return;
	const log = /(\/\S+\/make\.log)/.exec(output)?.[1];
	throw new ToascopeError('DKMS_FAILED', `dkms ${args.join(' ')} failed`, {
		hint: log === undefined ? 'its last lines are below' : `its last lines are below; the compiler's are in ${log}`,
		detail: lastLines(output),
	});
}
