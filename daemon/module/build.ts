// SPDX-License-Identifier: Apache-2.0
/** Builds toa.ko with the system's own make and compiler. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ToascopeError } from '../errors.ts';
import { version } from '../version.ts';
import { type KernelObject, readKernelObject } from './kernel_object.ts';
import { readText } from './loaded.ts';
import { howToInstall, inWords, type Part, readDistribution } from './packages.ts';
import { hostRoots, type Roots } from './roots.ts';
import { copySources, hasSameSources } from './sources.ts';
import { isInstalled, lastLines, runTool } from './tool.ts';

/** The compiler that a kernel was built with, as the configuration in its headers names it. */
export function compilerOf(configuration: string): string {
	const text = /^CONFIG_CC_VERSION_TEXT="(.*)"/m.exec(configuration)?.[1] ?? '';
	if (/^[\w.-]*gcc[\w.-]*/.test(text)) return text.split(' ', 1)[0] as string;
	return text.includes('clang') ? 'clang' : 'gcc';
}

export function headersOf(release: string, { modules }: Roots = hostRoots): string {
	return join(modules, release, 'build');
}

/** What building takes and is not here. Where its own compiler is missing, the plain one of that name will do. */
export function missingParts(release: string, roots: Roots = hostRoots, installed = isInstalled): Part[] {
	const headers = headersOf(release, roots);
	const configurations = ['include/config/auto.conf', '.config'].map((name) => readText(join(headers, name)));
	const compiler = compilerOf(configurations.find((text) => text !== undefined) ?? '');
	const plain = compiler.includes('clang') ? 'clang' : 'gcc';
	const missing: Part[] = [];
	if (!existsSync(join(headers, 'Makefile'))) missing.push({ part: 'headers', release });
	if (!installed('make')) missing.push({ part: 'make' });
	if (!installed(compiler) && !installed(plain)) missing.push({ part: 'compiler', command: compiler });
	return missing;
}

/** Where it is built for a kernel. */
export function buildDirectory(release: string, { state }: Roots = hostRoots): string {
	return join(state, release);
}

/** @throws {ToascopeError} MODULE_NO_HEADERS, MISSING_TOOL */
export function requireParts(release: string, roots: Roots = hostRoots, installed = isInstalled): void {
	const missing = missingParts(release, roots, installed);
	if (missing.length === 0) return;
	const code = missing.some(({ part }) => part === 'headers') ? 'MODULE_NO_HEADERS' : 'MISSING_TOOL';
	throw new ToascopeError(code, `building toa.ko takes ${missing.map(inWords).join(', ')}: not found`, {
		hint: howToInstall(missing, readDistribution(roots)),
	});
}

/**
 * Builds it for a kernel.
 * @throws {ToascopeError} MODULE_NO_HEADERS, MISSING_TOOL, MODULE_BUILD_FAILED, NO_PRIVILEGE
 */
export async function buildModule(release: string, roots: Roots = hostRoots): Promise<KernelObject> {
	requireParts(release, roots);
	const directory = buildDirectory(release, roots);
	copySources(directory);
	const args = ['-C', directory, `KDIR=${headersOf(release, roots)}`];
	const { code, output } = await runTool('make', args);
	const file = join(directory, 'toa.ko');
	if (code === 0 && existsSync(file)) return readKernelObject(file);
	throw new ToascopeError('MODULE_BUILD_FAILED', `make could not build toa.ko for ${release}`, {
		hint: `the last lines are below; all of them: make ${args.join(' ')}`,
		detail: lastLines(output),
	});
}

/** The one that was built for this kernel from these sources; undefined: there is none. */
export async function findBuilt(release: string, roots: Roots = hostRoots): Promise<KernelObject | undefined> {
	const directory = buildDirectory(release, roots);
	const file = join(directory, 'toa.ko');
	if (!existsSync(file) || !hasSameSources(directory)) return undefined;
	const object = await readKernelObject(file);
	return object.version === version && object.release === release ? object : undefined;
}
