// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run build`: makes dist/, which is what the package contains: JavaScript and types of src/,
 * the addon for each architecture, and the headers that it is compiled with where neither fits.
 * Nothing is done if the inputs have not changed since the last build.
 *
 * clang and lld compile for every architecture; without lld, cc compiles for that of this machine
 * only, unless --every-architecture is given (before the package is published).
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compile } from './compile.js';

const root = join(import.meta.dirname, '..');
const modules = join(root, '../../node_modules');
const dist = join(root, 'dist');
const native = join(dist, 'native');
const stamp = join(dist, '.inputs');

const targets: Readonly<Record<string, string>> = { x64: 'x86_64-linux-gnu', arm64: 'aarch64-linux-gnu' };

function isCommand(name: string): boolean {
	return spawnSync(name, ['--version']).status === 0;
}

/** The compiler for an architecture; undefined if none of this machine can compile for it. */
function compilerFor(architecture: string): string[] | undefined {
	const canCross = isCommand('clang') && isCommand('ld.lld');
	if (canCross) return ['clang', `--target=${targets[architecture]}`, '-fuse-ld=lld'];
	return architecture === process.arch ? ['cc'] : undefined;
}

function hashInputs(): string {
	const hash = createHash('sha256').update(Object.keys(targets).map(compilerFor).join());
	const sources = globSync(['src/*.ts', 'native/*', 'scripts/*', 'tsconfig.json', '../../tsconfig.json'], {
		cwd: root,
	});
	for (const file of sources.sort()) hash.update(file).update(readFileSync(join(root, file)));
	return hash.digest('hex');
}

const everyArchitecture = process.argv.includes('--every-architecture');
const inputs = hashInputs();
if (everyArchitecture || !existsSync(stamp) || readFileSync(stamp, 'utf8') !== inputs) {
	rmSync(dist, { recursive: true, force: true });
	mkdirSync(native, { recursive: true });
	cpSync(join(modules, 'node-api-headers/include'), join(native, 'include'), { recursive: true });
	cpSync(join(modules, 'node-api-headers/LICENSE'), join(native, 'include/LICENSE'));
	for (const architecture of Object.keys(targets)) {
		const compiler = compilerFor(architecture);
		if (compiler !== undefined) compile(compiler, join(native, `linux-${architecture}.node`));
		else if (everyArchitecture) throw new Error(`lld and clang are required to compile for ${architecture}`);
		else console.warn(`not compiled for ${architecture}: lld is not installed`);
	}
	execFileSync(process.execPath, [join(modules, 'typescript/bin/tsc'), '-p', root], { stdio: 'inherit' });
	writeFileSync(stamp, inputs);
}
