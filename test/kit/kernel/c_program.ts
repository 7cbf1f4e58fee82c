// SPDX-License-Identifier: Apache-2.0
/**
 * The C programs of the tests. The system's compiler compiles them when a test needs them and their
 * sources have changed.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Target, thisMachine } from './target.ts';

const root = join(import.meta.dirname, '../../..');
const labLibrary = ({ build }: Target) => join(build, 'native/lab/libtoascope-lab.a');

/**
 * The libraries that apps/NAME.c needs besides libc; the lab's library (native/lab) needs libbpf,
 * too.
 */
const libraries = {
	acceptor: [],
	foreign: ['bpf'],
	listener: [],
	listener32: [],
	nfs_server: [],
	notify_receiver: [],
	original_destination: [],
	peek: [],
	probe: [],
	rivals: [],
	toa_client: ['lab', 'bpf'],
	toa_so_get_lookup: [],
	walk_getsockopt: [],
} as const satisfies Record<string, readonly ('lab' | 'bpf')[]>;

const objects = ['foreign_getsockopt', 'foreign_sockops', 'layout6', 'mptcp_toa', 'slow_update'] as const;

/** Libraries for LD_PRELOAD, which change what the C library does for a daemon. */
const preloads = ['failing_bpf', 'failing_threads', 'shifted_clock'] as const;

export type PreloadName = (typeof preloads)[number];
export type ProgramName = keyof typeof libraries;
export type ObjectName = (typeof objects)[number];

const flagsOf = {
	lab: (target: Target) => [`-I${root}/native/lab`, `-I${root}/bpf`, labLibrary(target)],
	bpf: ({ environment }: Target) => {
		const options = { encoding: 'utf8', env: { ...process.env, ...environment } } as const;
		return execFileSync('pkg-config', ['--cflags', '--libs', 'libbpf'], options).trim().split(/\s+/);
	},
};

/**
 * A hash of everything that a program can be made of. The lab's library is hashed without its path,
 * which is different in a guest.
 */
function inputs(source: string, target: Target): string {
	const library = labLibrary(target);
	const hash = createHash('sha256');
	const headers = globSync(['bpf/*.h', 'kernel/*.h', 'native/lab/*.h', 'test/kit/*/*.h'], { cwd: root }).sort();
	hash.update(existsSync(library) ? readFileSync(library) : '');
	for (const file of [source, import.meta.filename, ...headers.map((header) => join(root, header))]) {
		hash.update(file).update(existsSync(file) ? readFileSync(file) : '');
	}
	return hash.digest('hex');
}

/** The outputs that this process has found up to date. */
const current = new Set<string>();

interface Recipe {
	readonly source: string;
	readonly compiler: readonly [string, ...string[]];
	readonly flags: () => readonly string[];
}

/**
 * Compiles a source, unless this or an earlier run has done so from the same inputs. Returns the
 * path of the output.
 */
function make(name: string, target: Target, { source, compiler, flags }: Recipe): string {
	const made = join(target.build, 'test');
	const output = join(made, name);
	if (current.has(output)) return output;
	const stamp = `${output}.inputs`;
	const now = inputs(source, target);
	if (!existsSync(output) || !existsSync(stamp) || readFileSync(stamp, 'utf8') !== now) {
		mkdirSync(made, { recursive: true });
		// written to another path and renamed, since another run of the tests can have the output
		// open
		const fresh = `${output}.${process.pid}`;
		const [program, ...options] = compiler;
		const args = [...options, '-Wall', '-Wextra', '-Werror', '-o', fresh, source, ...flags()];
		execFileSync(program, args, { stdio: ['ignore', 'ignore', 'inherit'] });
		renameSync(fresh, output);
		writeFileSync(stamp, now);
	}
	current.add(output);
	return output;
}

/** 32-bit programs for x86, which need no C library. */
const freestanding: readonly ProgramName[] = ['listener32'];
const freestandingFlags = '-m32 -nostdlib -static -ffreestanding -fno-pie -no-pie -fno-stack-protector'.split(' ');

/** Whether this machine compiles and runs 32-bit programs. */
export const { supports32Bit } = thisMachine;

/**
 * Compiles test/kit/apps/NAME.c and returns the path of the program.
 * @throws {Error} if the compiler fails; its messages are on standard error
 */
export function compile(name: ProgramName, target: Target = thisMachine): string {
	const more = freestanding.includes(name) ? freestandingFlags : [];
	const own = () => libraries[name].flatMap((library) => flagsOf[library](target));
	const source = join(import.meta.dirname, `../apps/${name}.c`);
	const flags = () => ['-std=gnu11', '-O1', ...more, ...own()];
	return make(name, target, { source, compiler: target.compiler, flags });
}

/**
 * Compiles test/kit/bpf/NAME.bpf.c and returns the path of the object.
 * @throws {Error} if the compiler fails; its messages are on standard error
 */
export function compileBpf(name: ObjectName, target: Target = thisMachine): string {
	const flags = () => {
		// asm/types.h is in the architecture's own directory, which clang does not search for the
		// bpf target
		const machine = execFileSync('cc', ['-dumpmachine'], { encoding: 'utf8' }).trim();
		return ['-g', '-O2', '-target', 'bpf', '-mcpu=v3', '-idirafter', `/usr/include/${machine}`, '-c'];
	};
	const source = join(import.meta.dirname, `../bpf/${name}.bpf.c`);
	return make(`${name}.bpf.o`, target, { source, compiler: ['clang'], flags });
}

function compilePreload(name: PreloadName, target: Target): string {
	const flags = () => ['-std=gnu11', '-O1', '-shared', '-fPIC', '-ldl'];
	const source = join(import.meta.dirname, `../preload/${name}.c`);
	return make(`${name}.so`, target, { source, compiler: target.compiler, flags });
}

/**
 * Compiles test/kit/preload/NAME.c. Returns the environment variable with which a process loads it,
 * in addition to what this process preloads itself.
 * @throws {Error} if the compiler fails; its messages are on standard error
 */
export function preload(name: PreloadName): { readonly LD_PRELOAD: string } {
	const library = compilePreload(name, thisMachine);
	return { LD_PRELOAD: [library, process.env['LD_PRELOAD']].filter(Boolean).join(' ') };
}

/**
 * Compiles all of them, for guests, where a compilation takes seconds.
 * @throws {Error} if the compiler fails
 */
export function compileAll(target: Target = thisMachine): void {
	for (const name of Object.keys(libraries) as ProgramName[]) {
		if (target.supports32Bit || !freestanding.includes(name)) compile(name, target);
	}
	for (const name of objects) compileBpf(name, target);
	for (const name of preloads) compilePreload(name, target);
}
