// SPDX-License-Identifier: Apache-2.0
/**
 * Files that cannot be loaded as toa.ko, or not beside another module: each with its message and
 * way out, and nothing left behind.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { toascope } from '../../kit/daemon/command.ts';
import { Daemon } from '../../kit/daemon/daemon.ts';
import { noConfig, moduleStatus as status, unloadToa } from '../../kit/kernel/module.ts';
import { moduleFile } from '../../kit/kernel/module_file.ts';
import { somePorts } from '../../kit/wire/toa_stage.ts';

const config = () => `provider: module\nlisteners: {ports: [${somePorts(1)}]}`;
const unload = () => toascope(['module', 'unload', ...noConfig]);
const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
afterAll(() => rmSync(directory, { recursive: true }));
const altered = (name: string, alter: (bytes: Buffer) => void) => {
	const file = join(directory, name);
	const bytes = readFileSync(moduleFile());
	alter(bytes);
	writeFileSync(file, bytes);
	return file;
};
const load = (file: string) => toascope(['module', 'load', file, ...noConfig]);

it('a module for another kernel', async () => {
	const other = altered('other.ko', (bytes) => {
		const magic = bytes.indexOf('vermagic=') + 'vermagic='.length;
		bytes.write('9.9', magic);
		// with CONFIG_MODVERSIONS the kernel compares only what follows the release (same_magic())
		bytes.write('SMX', bytes.indexOf('SMP', magic));
	});
	const { code, err } = await load(other);
	expect(code).toBe(1);
	expect(err).toMatch(/was built for 9\.9.*; this is .* \[MODULE_VERMAGIC\]\n {2}toascope module build/);
	// the message of the kernel
	expect(err).toMatch(/version magic '9\.9/);
});

it('a truncated module', async () => {
	const half = altered('half.ko', () => {});
	truncateSync(half, 20_000);
	expect((await load(half)).code).not.toBe(0);
	expect(existsSync('/sys/module/toa')).toBe(false);
});

it('a build without headers: the error names what is missing', async () => {
	const { code, err } = await toascope(['module', 'build', '9.9.9-none']);
	expect(code).toBe(3);
	expect(err).toMatch(
		/the headers of kernel 9\.9\.9-none: not found \[MODULE_NO_HEADERS\]\n {2}apt install linux-headers-9\.9\.9-none/,
	);
});

const replaced = (what: string, by: string) => (bytes: Buffer) => {
	for (let at = bytes.indexOf(what); at >= 0; at = bytes.indexOf(what, at + 1)) bytes.write(by, at);
};

it('beside a module of another version: it is reported and left in place', async () => {
	const other = altered('other_version.ko', replaced('version=0.', 'vershun=0.'));
	expect(await load(other)).toMatchObject({ code: 1, err: expect.stringContaining('[MODULE_OTHER_VERSION]') });
	expect(existsSync('/sys/module/toa')).toBe(false);
	expect(spawnSync('insmod', [other]).status).toBe(0);
	expect((await status()).loaded?.origin).toBe('other');
	await expect(Daemon.start({ config: config() })).rejects.toThrow(/MODULE_OTHER_VERSION/);
	expect(existsSync('/sys/module/toa')).toBe(true);
	await unloadToa();
});

it('beside a foreign module: it is reported, left in place and not unloaded', async () => {
	// another module with the same name: toascope's own, with a renamed parameter
	const foreign = altered('foreign.ko', replaced('\0connections\0', '\0konnections\0'));
	const named = altered('vendors.ko', (bytes) => {
		for (const what of ['parm', 'parmtype']) replaced(`${what}=connections`, `${what}=konnections`)(bytes);
	});
	expect(await load(named)).toMatchObject({ code: 3, err: expect.stringContaining('[MODULE_FOREIGN]') });
	expect(existsSync('/sys/module/toa')).toBe(false);
	expect(spawnSync('insmod', [foreign]).status).toBe(0);
	expect(await status()).toMatchObject({ code: 1, loaded: { origin: 'foreign' } });
	await expect(Daemon.start({ config: config() })).rejects.toThrow(/MODULE_FOREIGN/);
	for (const command of [load(moduleFile()), unload()]) {
		expect(await command).toMatchObject({ code: 3, err: expect.stringContaining('[MODULE_FOREIGN]') });
	}
	expect(existsSync('/sys/module/toa')).toBe(true);
	expect(spawnSync('rmmod', ['toa']).status).toBe(0);
});
