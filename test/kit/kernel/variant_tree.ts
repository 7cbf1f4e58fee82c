// SPDX-License-Identifier: Apache-2.0
/**
 * A second build of toascope: from the same sources with a change, in a tree of its own below
 * build/test.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, globSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '../../..');
const sources = ['bench', 'bpf', 'daemon', 'kernel', 'native', 'scripts', 'CMakeLists.txt', 'package.json'];

export interface Variant {
	/** The name of its tree. */
	readonly name: string;
	/**
	 * What differs from the usual build, for the stamp that says whether it must be built again.
	 */
	readonly differs: string;
	/** Changes the copied sources in this tree. */
	readonly change?: (tree: string) => void;
	/** Variables for CMake. */
	readonly cmake?: Readonly<Record<string, string>>;
}

/**
 * A hash of everything that the native parts and the daemon are made of, and of what differs
 * besides.
 */
export function hashOfSources(differs: string): string {
	const hash = createHash('sha256').update(differs);
	const kept = sources.map((each) => (each.includes('.') ? each : `${each}/**/*`));
	const files = globSync(kept, { cwd: root, withFileTypes: true }).filter((file) => file.isFile());
	for (const file of files.map(({ parentPath, name }) => join(parentPath, name)).sort()) {
		hash.update(file).update(readFileSync(file));
	}
	return hash.digest('hex');
}

function copySources(tree: string): void {
	for (const each of sources) {
		rmSync(join(tree, each), { recursive: true, force: true });
		cpSync(join(root, each), join(tree, each), { recursive: true, preserveTimestamps: true });
	}
	const modules = join(tree, 'node_modules');
	if (!existsSync(modules)) symlinkSync(join(root, 'node_modules'), modules);
}

/** The bpftool that this tree was built with. */
export function bpftoolOfBuild(): string | undefined {
	return /^BPFTOOL:[A-Z]*=(.*)$/m.exec(readFileSync(join(root, 'build/CMakeCache.txt'), 'utf8'))?.[1];
}

/**
 * Builds the variant, unless that has been done from the same sources; a build takes half a minute
 * at most. Returns the path of its program.
 */
export function buildVariant(variant: Variant): string {
	const tree = join(root, 'build/test', variant.name);
	const program = join(tree, 'daemon/main.ts');
	const [stamp, inputs] = [join(tree, 'build/inputs'), hashOfSources(variant.differs)];
	if (existsSync(stamp) && readFileSync(stamp, 'utf8') === inputs) return program;
	copySources(tree);
	variant.change?.(tree);
	const run = (...args: string[]) =>
		execFileSync(process.execPath, args, { cwd: tree, stdio: ['ignore', 'ignore', 'inherit'] });
	const variables = Object.entries({ BPFTOOL: bpftoolOfBuild(), ...variant.cmake }).map(
		([name, value]) => `--CD${name}=${value}`,
	);
	const cmake = ['node_modules/cmake-js/bin/cmake-js', 'build', '-G', 'Unix Makefiles', ...variables];
	for (const target of ['toascope-layout', 'toascope', 'toascope-gateway'])
		run(...cmake, '-p', '2', '--target', target);
	run('scripts/generate-layout.ts');
	writeFileSync(stamp, inputs);
	return program;
}
