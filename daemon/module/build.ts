// SPDX-License-Identifier: Apache-2.0
/** Builds toa.ko with the system's own make and compiler. */
import { closeSync, existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { native } from '../../native/binding.ts';
import { makeDirectories, reasonOf } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { readText } from '../host/files.ts';
import { describePart, installCommand, type Prerequisite, readDistribution } from '../host/packages.ts';
import { hostRoots, type Roots } from '../host/roots.ts';
import { isInstalled, lastLines, runTool } from '../host/tool.ts';
import { type KernelObject, readKernelObject } from './kernel_object.ts';
import { copySources, hasSameSources } from './sources.ts';

/**
 * The compiler that a kernel was built with, from the configuration in its headers. Since 5.17
 * auto.conf has no quotes.
 */
export function compilerOf(configuration: string): string {
	const text = /^CONFIG_CC_VERSION_TEXT="?([^"\n]*)/m.exec(configuration)?.[1] ?? '';
	if (/^[\w.-]*gcc[\w.-]*/.test(text)) return text.split(' ', 1)[0] as string;
	return text.includes('clang') ? 'clang' : 'gcc';
}

export function headersOf(release: string, { modules }: Roots = hostRoots): string {
	return join(modules, release, 'build');
}

/**
 * Build prerequisites that are missing. The plain `gcc` or `clang` is enough if the kernel's own
 * compiler is missing.
 */
export function missingParts(release: string, roots: Roots = hostRoots, installed = isInstalled): Prerequisite[] {
	const headers = headersOf(release, roots);
	const configurations = ['include/config/auto.conf', '.config'].map((name) => readText(join(headers, name)));
	const compiler = compilerOf(configurations.find((text) => text !== undefined) ?? '');
	const plain = compiler.includes('clang') ? 'clang' : 'gcc';
	const missing: Prerequisite[] = [];
	if (!existsSync(join(headers, 'Makefile'))) missing.push({ part: 'headers', release });
	if (!installed('make')) missing.push({ part: 'make' });
	if (!installed(compiler) && !installed(plain)) missing.push({ part: 'compiler', command: compiler });
	return missing;
}

/** The directory of the build for a kernel. */
export function buildDirectory(release: string, { state }: Roots = hostRoots): string {
	return join(state, release);
}

/** @throws {ToascopeError} MODULE_NO_HEADERS, MISSING_TOOL */
export function requireParts(release: string, roots: Roots = hostRoots, installed = isInstalled): void {
	const missing = missingParts(release, roots, installed);
	if (missing.length === 0) return;
	const code = missing.some(({ part }) => part === 'headers') ? 'MODULE_NO_HEADERS' : 'MISSING_TOOL';
	throw new ToascopeError(code, `building toa.ko requires ${missing.map(describePart).join(', ')}: not found`, {
		hint: installCommand(missing, readDistribution(roots)),
	});
}

/**
 * Whether another user can write to a path. All of the path must be root's or this user's: anyone
 * who can write here can load code into the kernel.
 */
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
		throw new ToascopeError('NO_PRIVILEGE', `cannot create ${state}: ${reasonOf(cause)}`, {
			hint: 'run it as root',
			cause,
		});
	}
	const unsafe = [dirname(state), state].find(writableByOthers);
	if (unsafe === undefined) return;
	throw new ToascopeError('NO_PRIVILEGE', `${unsafe} belongs to another user, or other users can write to it`, {
		hint: `chown root ${unsafe} && chmod go-w ${unsafe}: what is built there is loaded into the kernel`,
	});
}

/**
 * Builds toa.ko for a kernel beside the previous build, which the complete new one replaces.
 * @throws {ToascopeError} USAGE, MODULE_NO_HEADERS, MISSING_TOOL, MODULE_BUILD_FAILED, NO_PRIVILEGE
 */
export async function buildModule(release: string, roots: Roots = hostRoots): Promise<KernelObject> {
	if (!/^\w[\w.+~-]*$/.test(release)) {
		throw new ToascopeError('USAGE', `${release} is not a kernel release`, {
			hint: 'write it as uname -r prints it',
		});
	}
	requireParts(release, roots);
	makeStateDirectory(roots);
	const lock = native().lock(roots.state);
	if (lock < 0) {
		throw new ToascopeError('MODULE_BUILD_FAILED', 'another toascope is building toa.ko', {
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
			hint: `the last lines are below; for all of them: make ${args.join(' ')}`,
			detail: lastLines(output),
		});
	}
	rmSync(directory, { recursive: true, force: true });
	renameSync(fresh, directory);
	return readKernelObject(join(directory, 'toa.ko'));
}

/** The module built for this kernel from the current sources; undefined: there is no usable one. */
export async function findBuilt(release: string, roots: Roots = hostRoots): Promise<KernelObject | undefined> {
	const directory = buildDirectory(release, roots);
	const file = join(directory, 'toa.ko');
	if (!existsSync(file) || !hasSameSources(directory)) return undefined;
	if ([dirname(roots.state), roots.state, directory, file].some(writableByOthers)) return undefined;
	try {
		const object = await readKernelObject(file);
		return object.origin === 'own' && object.release === release ? object : undefined;
	} catch (error) {
		// a truncated file, such as a full disk leaves behind
		if (error instanceof ToascopeError && error.code === 'NOT_FOUND') return undefined;
		throw error;
	}
}
