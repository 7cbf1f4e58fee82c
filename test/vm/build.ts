// SPDX-License-Identifier: Apache-2.0
/** Builds modules for the kernels of the matrix. A compiler warning is an error. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Target } from '../kit/kernel/target.ts';
import { cache, sourcesOf, Unavailable } from './apt.ts';
import type { Kernel } from './kernels.ts';
import type { Fetched } from './packages.ts';
import { run } from './run.ts';

const root = join(import.meta.dirname, '../..');
const compiler = 'gcc-12';

/** Debian's headers contain their path, below /usr/src, which is changed to the path here. */
function relocateHeaders({ release, headers }: Fetched): string {
	const own = join(headers, 'usr/src', `linux-headers-${release}`);
	const makefile = join(own, 'Makefile');
	writeFileSync(makefile, readFileSync(makefile, 'utf8').replace(/ \/usr\/src\//, ` ${join(headers, 'usr/src')}/`));
	// BTF of a module requires pahole, which is not necessarily installed
	rmSync(join(own, 'vmlinux'), { force: true });
	return own;
}

/**
 * A Debian of that release with the headers and the compiler that belongs to them.
 * @throws Unavailable
 */
async function chrootOf(kernel: Kernel, { release, headerPackages }: Fetched): Promise<string> {
	const chroot = join(cache, release, 'chroot');
	if (existsSync(chroot)) return chroot;
	const wanted = ['make', 'binutils', 'kmod', ...headerPackages].join(',');
	const fresh = `${chroot}.${process.pid}`;
	rmSync(fresh, { recursive: true, force: true });
	try {
		const sources = await sourcesOf(kernel.suite);
		await run('mmdebstrap', ['--variant=apt', `--include=${wanted}`, kernel.build, fresh, ...sources]);
	} catch (error) {
		rmSync(fresh, { recursive: true, force: true });
		throw new Unavailable(`no chroot to build its modules in: ${(error as Error).message}`, { cause: error });
	}
	await run('mv', [fresh, chroot]);
	return chroot;
}

/** The directory of a module's sources, and its name. */
export interface Source {
	readonly directory: string;
	readonly name: string;
}

export const toa: Source = { directory: join(root, 'kernel'), name: 'toa' };
/** Makes allocations of toa.ko fail. */
export const noMemory: Source = { directory: join(import.meta.dirname, 'no_memory'), name: 'no_memory' };

function copySources(source: Source, directory: string): void {
	cpSync(source.directory, directory, { recursive: true });
	// the Makefile selects the compiler
	cpSync(join(toa.directory, 'Makefile'), join(directory, 'Makefile'));
}

/**
 * Builds in a separate directory, and returns the file.
 * @throws Error with the compiler's output, even for a warning
 */
export async function buildModule(
	kernel: Kernel,
	fetched: Fetched,
	directory: string,
	source: Source = toa,
): Promise<string> {
	rmSync(directory, { recursive: true, force: true });
	const { toolPrefix, make } = kernel.architecture;
	let output: string;
	if (kernel.build === 'here') {
		mkdirSync(directory, { recursive: true });
		copySources(source, directory);
		const variables = [`KDIR=${relocateHeaders(fetched)}`, 'W=1', `CC=${toolPrefix}${compiler}`, ...make];
		output = await run('make', ['-C', directory, ...variables]);
	} else {
		const chroot = await chrootOf(kernel, fetched);
		const inside = join(chroot, 'module');
		rmSync(inside, { recursive: true, force: true });
		copySources(source, inside);
		// in its own mount namespace, so that /proc is unmounted at the end
		const script = `mount -t proc proc "$1/proc" && exec chroot "$1" make -C /module KDIR=/lib/modules/$2/build W=1`;
		output = await run('unshare', ['--mount', 'sh', '-c', script, 'sh', chroot, fetched.release]);
		mkdirSync(directory, { recursive: true });
		for (const file of readdirSync(inside).filter((name) => name.endsWith('.ko'))) {
			cpSync(join(inside, file), join(directory, file));
		}
	}
	if (/warning|WARNING/.test(output)) throw new Error(`${kernel.name}: warnings\n${output}`);
	const file = join(directory, `${source.name}.ko`);
	await run(`${toolPrefix}strip`, ['--strip-debug', file]);
	return file;
}

/** Builds the test programs for all guests of an architecture, in build/vm/programs. */
export async function buildPrograms({ build, compiler: [cc, ...options] }: Target): Promise<void> {
	const directory = join(build, 'vm/programs');
	const here = import.meta.dirname;
	const sources: Record<string, readonly string[]> = {
		module_test: readdirSync(here).filter((name) => /^module_.*\.c$/.test(name) && name !== 'module_reload.c'),
		module_reload: ['module_reload.c', 'reload_lists.c'],
		backlog: ['backlog.c'],
	};
	const libraries: Record<string, readonly string[]> = { backlog: ['-lbpf', '-lpthread'] };
	mkdirSync(directory, { recursive: true });
	for (const [name, own] of Object.entries(sources)) {
		const files = [...own, 'module.c', 'check.c', 'wire.c'].map((file) => join(here, file));
		const flags = ['-std=gnu17', '-O1', '-g', '-Wall', '-Wextra', '-Werror', '-o', join(directory, name)];
		await run(cc, [...options, ...flags, ...files, ...(libraries[name] ?? [])]);
	}
}
