// SPDX-License-Identifier: Apache-2.0
/**
 * What building toa.ko requires: found or missing, and the packages that have it in each family of
 * distributions.
 */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { installCommand, type Prerequisite, parseOsRelease } from '../../../daemon/host/packages.ts';
import { hostRoots, type Roots } from '../../../daemon/host/roots.ts';
import {
	buildDirectory,
	buildModule,
	compilerOf,
	findBuilt,
	missingParts,
	requireParts,
} from '../../../daemon/module/build.ts';
import { copySources, hasSameSources } from '../../../daemon/module/sources.ts';

let root: string;
let roots: Roots;

beforeAll(() => {
	root = mkdtempSync(join(tmpdir(), 'toascope-module-'));
	roots = { ...hostRoots, etc: join(root, 'etc'), modules: join(root, 'modules'), state: join(root, 'state') };
	mkdirSync(join(root, 'etc'));
	writeFileSync(join(root, 'etc/os-release'), 'ID=debian\n');
	const headers = join(root, 'modules/6.1.0-56-amd64/build');
	mkdirSync(join(headers, 'include/config'), { recursive: true });
	writeFileSync(join(headers, 'Makefile'), '');
	writeFileSync(
		join(headers, 'include/config/auto.conf'),
		'CONFIG_CC_VERSION_TEXT="gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0"\n',
	);
});
afterAll(() => rmSync(root, { recursive: true }));

describe('the compiler of a kernel', () => {
	it.each([
		['CONFIG_CC_VERSION_TEXT="gcc-12 (Debian 12.2.0-14) 12.2.0"', 'gcc-12'],
		['CONFIG_CC_VERSION_TEXT=gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0', 'gcc-12'],
		['CONFIG_CC_VERSION_TEXT="x86_64-linux-gnu-gcc-13 (Ubuntu 13.3.0) 13.3.0"', 'x86_64-linux-gnu-gcc-13'],
		['CONFIG_CC_VERSION_TEXT="gcc (GCC) 11.4.1 20231218 (Red Hat 11.4.1-3)"', 'gcc'],
		['CONFIG_CC_VERSION_TEXT="Debian clang version 16.0.6"', 'clang'],
		['', 'gcc'],
	])('%s', (configuration, compiler) => {
		expect(compilerOf(configuration)).toBe(compiler);
	});

	it.each([
		['CONFIG_CC_VERSION_TEXT="sh-of-none (Debian 1) 1"', [], 'cc:  llvm: '],
		['CONFIG_CC_VERSION_TEXT="gcc (GCC) 11.4.1 20231218 (Red Hat 11.4.1-3)"', [], 'cc: gcc llvm: '],
		['CONFIG_CC_VERSION_TEXT=gcc (Debian 12.2.0-14+deb12u1) 12.2.0', [], 'cc: gcc llvm: '],
		['CONFIG_CC_VERSION_TEXT=Debian clang version 16.0.6', [], 'cc:  llvm: 1'],
		['CONFIG_CC_VERSION_TEXT=Debian clang version 16.0.6', ['CC=gcc'], 'cc: gcc llvm: '],
		['', [], 'cc:  llvm: '],
		// a prefix of the command's name, as cross compilers have it
		[
			'CONFIG_CC_VERSION_TEXT="gcc (GCC) 11.4.1 20231218"',
			['CROSS_COMPILE=/bin/../bin/'],
			'cc: /bin/../bin/gcc llvm: ',
		],
		['CONFIG_CC_VERSION_TEXT="gcc (GCC) 11.4.1 20231218"', ['CROSS_COMPILE=none-'], 'cc:  llvm: '],
	])('the Makefile passes it to the kernel build: %s %j', (configuration, variables, expected) => {
		const headers = mkdtempSync(join(root, 'headers-'));
		mkdirSync(join(headers, 'include/config'), { recursive: true });
		writeFileSync(join(headers, 'include/config/auto.conf'), `${configuration}\n`);
		const recipe = '\t@echo "cc: $(if $(filter command,$(origin CC)),$(CC)) llvm: $(LLVM)"\n';
		writeFileSync(join(headers, 'Makefile'), `modules:\n${recipe}`);
		const args = ['-s', '-C', join(import.meta.dirname, '../../../kernel'), `KDIR=${headers}`, ...variables];
		expect(execFileSync('make', args, { encoding: 'utf8' })).toBe(`${expected}\n`);
	});
});

describe('what is missing', () => {
	const all =
		(...names: string[]) =>
		(name: string) =>
			names.includes(name);

	it('nothing, with make and the compiler of the kernel', () => {
		expect(missingParts('6.1.0-56-amd64', roots, all('make', 'gcc-12'))).toEqual([]);
	});

	it('nothing, with the plain compiler instead', () => {
		expect(missingParts('6.1.0-56-amd64', roots, all('make', 'gcc'))).toEqual([]);
	});

	it('the tools that the headers name', () => {
		expect(() => requireParts('6.1.0-56-amd64', roots, all())).toThrow(
			expect.objectContaining({
				code: 'MISSING_TOOL',
				message: 'building toa.ko requires make, the compiler gcc-12: not found',
				hint: 'apt install make gcc-12',
			}),
		);
	});

	it('the headers', () => {
		expect(() => requireParts('6.1.0-57-amd64', roots, all('make', 'gcc'))).toThrow(
			expect.objectContaining({
				code: 'MODULE_NO_HEADERS',
				message: 'building toa.ko requires the headers of kernel 6.1.0-57-amd64: not found',
				hint: 'apt install linux-headers-6.1.0-57-amd64',
			}),
		);
	});
});

describe('the packages', () => {
	const parts = (release: string): Prerequisite[] => [
		{ part: 'headers', release },
		{ part: 'make' },
		{ part: 'compiler', command: 'gcc-13' },
	];

	it.each([
		['ID=debian', '6.1.0-56-amd64', 'apt install linux-headers-6.1.0-56-amd64 make gcc-13'],
		['ID=ubuntu\nID_LIKE=debian', '6.8.0-45-generic', 'apt install linux-headers-6.8.0-45-generic make gcc-13'],
		[
			'ID=linuxmint\nID_LIKE="ubuntu debian"',
			'6.8.0-45-generic',
			'apt install linux-headers-6.8.0-45-generic make gcc-13',
		],
		[
			'ID="rocky"\nID_LIKE="rhel centos fedora"',
			'5.14.0-427.el9.x86_64',
			'dnf install kernel-devel-5.14.0-427.el9.x86_64 make gcc',
		],
		[
			'ID="openEuler"',
			'5.10.0-216.0.0.oe2203sp4.x86_64',
			'dnf install kernel-devel-5.10.0-216.0.0.oe2203sp4.x86_64 make gcc',
		],
		[
			'ID="sles"\nID_LIKE="suse"',
			'6.4.0-150600.23.47-default',
			'zypper install kernel-default-devel=6.4.0-150600.23.47 make gcc13',
		],
		['ID=nixos', '6.6.1', 'install the headers of kernel 6.6.1, make, the compiler gcc-13'],
	])('%j', (osRelease, release, command) => {
		expect(installCommand(parts(release), parseOsRelease(osRelease))).toBe(command);
	});
});

describe('the sources', () => {
	it('are copied without build products', () => {
		const to = join(root, 'copy');
		copySources(to);
		const names = readdirSync(to, { recursive: true, encoding: 'utf8' });
		expect(names).toEqual(expect.arrayContaining(['Kbuild', 'Makefile', 'dkms.conf', 'toa_option.h', 'toa_main.c']));
		expect(
			names.filter((name) => !/^(Kbuild|Makefile|dkms\.conf|toa_\w+\.(?:[ch]|def)|probes(\/\w+\.c)?)$/.test(name)),
		).toEqual([]);
		expect(hasSameSources(to)).toBe(true);
		writeFileSync(join(to, 'toa_main.c'), 'changed');
		expect(hasSameSources(to)).toBe(false);
	});
});

describe('what is built', () => {
	it.each(['../../etc', '/lib/modules/6.1.0', '.', ''])('is nothing for %j, not a kernel', async (release) => {
		await expect(buildModule(release, roots)).rejects.toMatchObject({ code: 'USAGE' });
	});

	it('does not include an incomplete file', async () => {
		const directory = buildDirectory('6.1.0-56-amd64', roots);
		copySources(directory);
		writeFileSync(join(directory, 'toa.ko'), '\u007fELF');
		expect(await findBuilt('6.1.0-56-amd64', roots)).toBeUndefined();
	});

	it('is neither built nor used where others can write', async () => {
		mkdirSync(roots.state, { recursive: true });
		chmodSync(roots.state, 0o777);
		await expect(buildModule('6.1.0-56-amd64', roots)).rejects.toMatchObject({
			code: 'NO_PRIVILEGE',
			message: expect.stringContaining(roots.state),
		});
		chmodSync(roots.state, 0o755);
	});
});
