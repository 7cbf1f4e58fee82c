// SPDX-License-Identifier: Apache-2.0
/**
 * This tree for guests of another architecture: a layer over it, with the same paths, contains what
 * differs: the native parts, the test programs and the npm packages.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileAll } from '../kit/kernel/c_program.ts';
import type { Target } from '../kit/kernel/target.ts';
import { bpftoolOfBuild, hashOfSources } from '../kit/kernel/variant_tree.ts';
import { Unavailable } from './apt.ts';
import type { Architecture } from './architectures.ts';
import { buildPrograms } from './build.ts';
import { foreignRoot } from './foreign_root.ts';
import type { GuestRoot } from './machine.ts';
import { run } from './run.ts';

const tree = join(import.meta.dirname, '../..');
const compilerVersion = 12;

const isWritten = (file: string, text: string) => existsSync(file) && readFileSync(file, 'utf8') === text;

function targetOf({ toolPrefix, triplet }: Architecture, root: string, layer: string): Target {
	const folders = [`usr/lib/${triplet}/pkgconfig`, 'usr/share/pkgconfig'].map((folder) => join(root, folder));
	return {
		compiler: [`${toolPrefix}gcc-${compilerVersion}`, `--sysroot=${root}`],
		environment: { PKG_CONFIG_SYSROOT_DIR: root, PKG_CONFIG_LIBDIR: folders.join(':') },
		build: join(layer, 'build'),
		supports32Bit: false,
	};
}

/**
 * Installs the packages of the lockfile, as npm does on that architecture.
 * @throws Unavailable
 */
async function installPackages({ node }: Architecture, layer: string): Promise<void> {
	const lock = readFileSync(join(tree, 'package-lock.json'), 'utf8');
	const stamp = join(layer, 'node_modules/.lock');
	if (isWritten(stamp, lock)) return;
	for (const name of ['package.json', 'package-lock.json']) copyFileSync(join(tree, name), join(layer, name));
	const quiet = ['--no-audit', '--no-fund', '--ignore-scripts', '--no-engine-strict'];
	const all = ['--include=dev', '--include=optional', `--cpu=${node}`, '--os=linux', '--libc=glibc'];
	// an npm that is a Node script is run with this Node: npm leaves out packages that its Node is
	// too old for
	const script =
		'npm=$(readlink -f "$(command -v npm)"); case $npm in *.js) exec "$0" "$npm" "$@" ;; *) exec npm "$@" ;; esac';
	try {
		await run('sh', ['-c', script, process.execPath, 'ci', ...all, ...quiet], { cwd: layer });
	} catch (error) {
		throw new Unavailable(`no npm packages for ${node}: ${(error as Error).message}`, { cause: error });
	}
	if (!existsSync(join(layer, `node_modules/node-linux-${node}`))) {
		throw new Unavailable(`this npm does not install packages for another architecture (--cpu)`);
	}
	writeFileSync(stamp, lock);
}

function toolchainFile({ toolPrefix, triplet }: Architecture, root: string): string {
	const variables = {
		CMAKE_SYSTEM_NAME: 'Linux',
		CMAKE_SYSTEM_PROCESSOR: triplet.replace(/-.*/, ''),
		CMAKE_C_COMPILER: `${toolPrefix}gcc-${compilerVersion}`,
		CMAKE_CXX_COMPILER: `${toolPrefix}g++-${compilerVersion}`,
		CMAKE_SYSROOT: root,
		CMAKE_FIND_ROOT_PATH_MODE_PROGRAM: 'NEVER',
		CMAKE_FIND_ROOT_PATH_MODE_LIBRARY: 'ONLY',
	};
	const lines = Object.entries(variables).map(([name, value]) => `set(${name} "${value}")`);
	return `${[`# for ${tree}`, ...lines].join('\n')}\n`;
}

/** Builds the addon and the lab's programs, unless they were built from the same sources. */
async function buildNative(architecture: Architecture, root: string, target: Target): Promise<void> {
	const toolchain = toolchainFile(architecture, root);
	const [stamp, inputs] = [join(target.build, 'inputs'), hashOfSources(toolchain)];
	if (isWritten(stamp, inputs)) return;
	const file = join(target.build, 'toolchain.cmake');
	// CMake keeps the compilers and paths of its first run
	if (!isWritten(file, toolchain)) rmSync(target.build, { recursive: true, force: true });
	mkdirSync(target.build, { recursive: true });
	writeFileSync(file, toolchain);
	const variables = { CMAKE_TOOLCHAIN_FILE: file, BPFTOOL: bpftoolOfBuild() };
	const options = Object.entries(variables).map(([name, value]) => `--CD${name}=${value}`);
	const command = [join(tree, 'node_modules/cmake-js/bin/cmake-js'), 'build', '-G', 'Unix Makefiles', ...options];
	const destination = ['--out', target.build, '--arch', architecture.node, '-p', '2'];
	for (const name of ['toascope', 'toascope-gateway', 'toascope-segments']) {
		await run(process.execPath, [...command, ...destination, '--target', name], { cwd: tree, env: target.environment });
	}
	writeFileSync(stamp, inputs);
}

/**
 * The root that guests of an architecture run in; undefined: this machine's own root.
 * @throws Unavailable; Error with the compiler's output
 */
export async function foreignGuestRoot(architecture: Architecture): Promise<GuestRoot | undefined> {
	if (architecture.node === process.arch) return undefined;
	const layer = join(tree, 'build/vm', architecture.name);
	mkdirSync(layer, { recursive: true });
	const root = await foreignRoot(architecture);
	const target = targetOf(architecture, root, layer);
	await installPackages(architecture, layer);
	await buildNative(architecture, root, target);
	await buildPrograms(target);
	compileAll(target);
	return { directory: root, tree, layer, busybox: join(root, 'bin/busybox') };
}
