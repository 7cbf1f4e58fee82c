// SPDX-License-Identifier: Apache-2.0
/** A toa.ko that was built elsewhere: the very same kernel takes it, another refuses it and says for which it is. */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { buildDirectory } from '../../../daemon/module/build.ts';
import { readKernelObject } from '../../../daemon/module/kernel_object.ts';
import { readPolicy } from '../../../daemon/module/policy.ts';
import { copySources } from '../../../daemon/module/sources.ts';
import { version } from '../../../daemon/version.ts';
import { toascope } from '../../fixtures/command.ts';
import { noConfig, unloadToa } from '../../fixtures/module.ts';
import { foreignModuleFile, hasModule, moduleFile } from '../../fixtures/module_file.ts';

const { signedOnly, lockdown = 'none' } = readPolicy();
const takes = hasModule && !signedOnly && lockdown === 'none';
const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
afterAll(() => rmSync(directory, { recursive: true }));

it.runIf(takes)('of the very same kernel: it is loaded, and works', async () => {
	const file = join(directory, 'toa.ko');
	copyFileSync(moduleFile(), file);
	const { code, out, err } = await toascope(['module', 'load', file, ...noConfig]);
	expect({ code, out, err }).toEqual({ code: 0, out: 'toa.ko is loaded: getsockopt(4096) answers\n', err: '' });
	await unloadToa();
});

it.runIf(takes)('where those are that were built here: it is found, and no headers are needed', async () => {
	const built = buildDirectory(release());
	copySources(built);
	copyFileSync(moduleFile(), join(built, 'toa.ko'));
	expect(await toascope(['module', 'load', ...noConfig])).toMatchObject({ code: 0, err: '' });
	await unloadToa();
	rmSync(built, { recursive: true });
});

it.runIf(takes)(
	'of another kernel: it is refused, with both names, the kernel in its own words, and the way out',
	async () => {
		const file = join(directory, 'foreign.ko');
		copyFileSync(foreignModuleFile(), file);
		const object = await readKernelObject(file);
		expect(object.version).toBe(version);
		expect(object.release).not.toBe(release());
		const { code, err } = await toascope(['module', 'load', file, ...noConfig]);
		expect(code).toBe(1);
		expect(err).toContain(`${file} was built for ${object.vermagic}; this is ${release()} [MODULE_VERMAGIC]`);
		expect(err).toMatch(/^ {2}.*toascope (-- )?module build, here/m);
		// kernel/module/main.c and version.c; what they look at first is not the same in all of them
		expect(err).toMatch(
			/\btoa: (version magic '.*' should be '.*'|disagrees about version of symbol \w+|\.gnu\.linkonce\.this_module .*)/,
		);
		expect(existsSync('/sys/module/toa')).toBe(false);
	},
);

it.runIf(takes)('of another kernel, where those are that were built here: it is not taken for one', async () => {
	const built = buildDirectory(release());
	copySources(built);
	copyFileSync(foreignModuleFile(), join(built, 'toa.ko'));
	const { err } = await toascope(['module', 'load', ...noConfig]);
	// built anew where the headers are here; never tried as it was
	expect(err).not.toMatch(/MODULE_VERMAGIC/);
	if (existsSync('/sys/module/toa')) await unloadToa();
	else expect(err).toMatch(/MODULE_NO_HEADERS|MISSING_TOOL|MODULE_BUILD_FAILED/);
	rmSync(built, { recursive: true });
});
