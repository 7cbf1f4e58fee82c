// SPDX-License-Identifier: Apache-2.0
/** Installs toa.ko for good: DKMS builds it for each new kernel, systemd loads it at boot. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { join } from 'node:path';
import { reasonOf } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { version } from '../version.ts';
import { requireParts } from './build.ts';
import { howToInstall, readDistribution } from './packages.ts';
import { hostRoots, type Roots } from './roots.ts';
import { copySources } from './sources.ts';
import { isInstalled, lastLines, runTool } from './tool.ts';

const name = 'toa';
/** Where DKMS looks for sources. */
const dkmsSources = `/usr/src/${name}-${version}`;

/** Of modules-load.d(5). */
export function bootFile({ etc }: Roots = hostRoots): string {
	return join(etc, 'modules-load.d', `${name}.conf`);
}

/** What `dkms status` says of the module, a line for each kernel; undefined: dkms is not installed. */
export async function dkmsStatus(): Promise<string[] | undefined> {
	const { code, output } = await runTool('dkms', ['status', '-m', name]);
	if (code === undefined) return undefined;
	return output.split('\n').filter((line) => line.startsWith(`${name}/`) || line.startsWith(`${name},`));
}

/**
 * Does what was not done yet. Returns the steps, in words.
 * @throws {ToascopeError} MISSING_TOOL, MODULE_NO_HEADERS, DKMS_FAILED, NO_PRIVILEGE
 */
export async function installModule(roots: Roots = hostRoots): Promise<string[]> {
	if (!isInstalled('dkms')) {
		throw new ToascopeError('MISSING_TOOL', 'dkms is not installed: it builds the module for each new kernel', {
			hint: `${howToInstall([{ part: 'dkms' }], readDistribution(roots))}; without it: toascope module build after each new kernel`,
		});
	}
	requireParts(release(), roots);
	const steps = await addToDkms();
	const file = bootFile(roots);
	try {
		mkdirSync(join(roots.etc, 'modules-load.d'), { recursive: true });
		writeFileSync(file, `# toascope module install\n${name}\n`);
	} catch (cause) {
		throw new ToascopeError('NO_PRIVILEGE', `cannot write ${file}: ${reasonOf(cause)}`, {
			hint: 'run it as root',
			cause,
		});
	}
	return [...steps, `${file}: loaded at boot`];
}

async function addToDkms(): Promise<string[]> {
	const module = ['-m', name, '-v', version];
	const here = ['-k', release()];
	const before = await dkmsStatus();
	// sources that have changed under one version are built anew
	if (before?.some((line) => line.includes(version))) await dkms(['remove', ...module, '--all']);
	copySources(dkmsSources);
	await dkms(['add', ...module]);
	await dkms(['build', ...module, ...here]);
	await dkms(['install', ...module, ...here, '--force']);
	return [`${dkmsSources}: the sources`, `dkms: built and installed for ${release()}, and for each kernel to come`];
}

async function dkms(args: readonly string[]): Promise<void> {
	const { code, output } = await runTool('dkms', args);
	if (code === 0) return;
	const log = /(\/\S+\/make\.log)/.exec(output)?.[1];
	throw new ToascopeError('DKMS_FAILED', `dkms ${args.join(' ')} failed`, {
		hint: log === undefined ? 'its last lines are below' : `its last lines are below; the compiler's are in ${log}`,
		detail: lastLines(output),
	});
}
