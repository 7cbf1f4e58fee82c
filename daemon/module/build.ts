// SPDX-License-Identifier: Apache-2.0
/** Builds toa.ko with the system's own make and compiler. */
import { closeSync, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { native } from '../capture/native.ts';
import { makeDirectories, reasonOf } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { type KernelObject, readKernelObject } from './kernel_object.ts';
import { readText } from './loaded.ts';
import { howToInstall, inWords, type Part, readDistribution } from './packages.ts';
import { hostRoots, type Roots } from './roots.ts';
import { copySources, hasSameSources } from './sources.ts';
import { isInstalled, lastLines, runTool } from './tool.ts';

/** The compiler that a kernel was built with, as the configuration in its headers names it: auto.conf has no quotes since 5.17. */
export function compilerOf(configuration: string): string {
	const text = /^CONFIG_CC_VERSION_TEXT="?([^"\n]*)/m.exec(configuration)?.[1] ?? '';
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

/** What goes into the kernel from here must be root's, all the way: who can write here is in the kernel. */
function writableByOthers(path: string): boolean {
	const { uid, gid, mode } = statSync(path);
	const others = gid === 0 ? 0o002 : 0o022;
	return (uid !== 0 && uid !== process.getuid?.()) || (mode & others) !== 0;
}

/** @throws {ToascopeError} NO_PRIVILEGE */
function makeStateDirectory({ state }: Roots): void {
	try {
		makeDirectories(state, 0o755);
	} catch (cause) {
		throw new ToascopeError('NO_PRIVILEGE', `cannot make ${state}: ${reasonOf(cause)}`, {
			hint: 'run it as root',
			cause,
		});
	}
	const open = [dirname(state), state].find(writableByOthers);
	if (open === undefined) return;
	throw new ToascopeError('NO_PRIVILEGE', `${open} belongs to somebody else, or others may write there`, {
		hint: `chown root ${open} && chmod go-w ${open}: what is built there goes into the kernel`,
	});
}

/**
 * Builds it for a kernel, beside the one that was built before, which it replaces when it is complete.
 * @throws {ToascopeError} USAGE, MODULE_NO_HEADERS, MISSING_TOOL, MODULE_BUILD_FAILED, NO_PRIVILEGE
 */
export async function buildModule(release: string, roots: Roots = hostRoots): Promise<KernelObject> {
	if (!/^\w[\w.+~-]*$/.test(release)) {
		throw new ToascopeError('USAGE', `${release} is not the release of a kernel`, {
			hint: 'give it as uname -r says it',
		});
	}
	requireParts(release, roots);
	makeStateDirectory(roots);
	const lock = native().lock(roots.state);
	if (lock < 0) {
		throw new ToascopeError('MODULE_BUILD_FAILED', 'another toascope builds toa.ko at this moment', {
			hint: 'try again when it is done',
		});
	}
	try {
		return await make(release, roots);
	} finally {
		closeSync(lock);
	}
}

async function make(release: string, roots: Roots): Promise<KernelObject> {
	const directory = buildDirectory(release, roots);
	const fresh = `${directory}.new`;
	copySources(fresh);
	const args = ['-C', fresh, `KDIR=${headersOf(release, roots)}`];
	const { code, output } = await runTool('make', args);
	if (code !== 0 || !existsSync(join(fresh, 'toa.ko'))) {
		throw new ToascopeError('MODULE_BUILD_FAILED', `make could not build toa.ko for ${release}`, {
			hint: `the last lines are below; all of them: make ${args.join(' ')}`,
			detail: lastLines(output),
		});
	}
	rmSync(directory, { recursive: true, force: true });
	renameSync(fresh, directory);
	return readKernelObject(join(directory, 'toa.ko'));
}

/** The one that was built for this kernel from these sources; undefined: there is none that can be used. */
export async function findBuilt(release: string, roots: Roots = hostRoots): Promise<KernelObject | undefined> {
	const directory = buildDirectory(release, roots);
	const file = join(directory, 'toa.ko');
	if (!existsSync(file) || !hasSameSources(directory)) return undefined;
	if ([dirname(roots.state), roots.state, directory, file].some(writableByOthers)) return undefined;
	try {
		const object = await readKernelObject(file);
		return object.whose === 'own' && object.release === release ? object : undefined;
	} catch (error) {
		// half a file, such as a full disk leaves
		if (error instanceof ToascopeError && error.code === 'NOT_FOUND') return undefined;
		throw error;
	}
}
