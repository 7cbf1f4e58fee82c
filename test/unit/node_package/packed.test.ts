// SPDX-License-Identifier: Apache-2.0
/** What `npm pack` makes of @toascope/node: it can be installed without a network, and used. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { nodeVersions } from '../../kit/node_package/node_versions.ts';
import { pack } from '../../kit/node_package/scratch.ts';

const root = join(import.meta.dirname, '../../..');
let directory = '';
let installedPackage = '';

beforeAll(async () => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	writeFileSync(join(directory, 'package.json'), '{"private": true}');
	const archive = await pack(directory);
	const options = ['--offline', '--no-audit', '--no-fund', '--loglevel=error'];
	execFileSync('npm', ['install', ...options, archive], { cwd: directory, stdio: ['ignore', 'ignore', 'inherit'] });
	installedPackage = join(directory, 'node_modules/@toascope/node');
});
afterAll(() => {
	rmSync(directory, { recursive: true, force: true });
});

const run = (node: string, ...args: readonly string[]) =>
	execFileSync(node, args, { cwd: directory, encoding: 'utf8' }).trim();

it('it has what is needed, and nothing else', () => {
	const files = globSync('**/*', { cwd: installedPackage, withFileTypes: true }).filter((file) => file.isFile());
	const names = files.map((file) => join(file.parentPath, file.name).slice(installedPackage.length + 1));
	expect(names).toEqual(
		expect.arrayContaining([
			'LICENSE',
			'README.md',
			'dist/index.d.ts',
			'dist/native/include/LICENSE',
			'dist/native/include/node_api.h',
			`dist/native/linux-${process.arch}.node`,
			'dist/register.js',
			'native/client.c',
			'scripts/install.js',
		]),
	);
	expect(
		names.filter(
			(name) =>
				!/^(dist|native|examples)\/|^scripts\/(install|compile)\.js$|^(LICENSE|README\.md|package\.json)$/.test(name),
		),
	).toEqual([]);
	// packages of nobody else came along
	expect(globSync('node_modules/{*,@*/*}/package.json', { cwd: directory })).toEqual([
		'node_modules/@toascope/node/package.json',
	]);
});

it.for(nodeVersions)('import and require(), Node %s', async (version, { skip }) => {
	const node = await version.program();
	if (node === undefined) return skip(`Node ${version} cannot be installed`);
	const imported = 'import { diagnose } from "@toascope/node"; console.log(diagnose().code)';
	expect(run(node, '--input-type=module', '--eval', imported)).toBe('READY');
	expect(run(node, '--print', 'require("@toascope/node").diagnose().code')).toBe('READY');
	for (const option of ['--import', '--require']) {
		expect(run(node, option, '@toascope/node/register', '--print', '"runs"')).toBe('runs');
	}
});

it('Node without permission to load addons: the reason is stated', () => {
	const options = ['--permission', `--allow-fs-read=${directory}`, '--print'];
	expect(run(process.execPath, ...options, 'require("@toascope/node").diagnose().message')).toContain(
		'the addon cannot be loaded: Cannot load native addon',
	);
});

it('its types, as an application of TypeScript uses them', () => {
	mkdirSync(join(directory, 'node_modules/@types'), { recursive: true });
	const source = `
		import { createServer } from 'node:http';
		import { type Client, clientOf, diagnose, incomingSpanHook, ToascopeSpanProcessor } from '@toascope/node';
		createServer((request) => {
			const client: Client | undefined = clientOf(request);
			const port: number | null | undefined = client?.port;
			console.log(port, diagnose(request.socket).code satisfies string, incomingSpanHook(request));
		});
		new ToascopeSpanProcessor({ policy: 'absent' });
		// @ts-expect-error: no such policy
		new ToascopeSpanProcessor({ policy: 'never' });
		// @ts-expect-error: a text is not a connection
		clientOf('192.0.2.1');`;
	writeFileSync(join(directory, 'app.mts'), source);
	const options = ['--noEmit', '--strict', '--module', 'nodenext', '--typeRoots', join(root, 'node_modules/@types')];
	const tsc = [join(root, 'node_modules/typescript/bin/tsc'), ...options, '--types', 'node', 'app.mts'];
	const { status, stdout } = spawnSync(process.execPath, tsc, { cwd: directory, encoding: 'utf8' });
	expect(stdout).toBe('');
	expect(status).toBe(0);
});

const install = (env: NodeJS.ProcessEnv = process.env) =>
	spawnSync(process.execPath, ['scripts/install.js'], { cwd: installedPackage, env, encoding: 'utf8' });
const built = () => join(installedPackage, 'dist/native/built.node');

it('with the prebuilt addon, the installation compiles nothing', () => {
	expect(install()).toMatchObject({ status: 0, stderr: '' });
	expect(existsSync(built())).toBe(false);
});

it('without one for this machine, the installation compiles it; without a compiler, it goes on, and the reason is stated', () => {
	const prebuilt = globSync('dist/native/linux-*.node', { cwd: installedPackage });
	for (const file of prebuilt) rmSync(join(installedPackage, file));
	const without = install({ PATH: directory });
	expect(without.status).toBe(0);
	expect(without.stderr).toContain(
		`no addon for linux-${process.arch} (there is no such file), and cc could not compile it`,
	);
	const diagnose =
		'const { diagnose, clientOf } = require("@toascope/node"); [diagnose().code, clientOf(new (require("net").Socket)())].join()';
	expect(run(process.execPath, '--print', diagnose)).toBe('NO_ADDON,');

	expect(install()).toMatchObject({ status: 0, stderr: '' });
	expect(existsSync(built())).toBe(true);
	expect(run(process.execPath, '--print', diagnose)).toBe('READY,');
});

it('a prebuilt addon that cannot be loaded is replaced', () => {
	writeFileSync(join(installedPackage, `dist/native/linux-${process.arch}.node`), 'not an addon');
	rmSync(built(), { force: true });
	expect(install()).toMatchObject({ status: 0, stderr: '' });
	expect(run(process.execPath, '--print', 'require("@toascope/node").diagnose().code')).toBe('READY');
});
