// SPDX-License-Identifier: Apache-2.0
/**
 * A toa.ko that was built elsewhere: exactly the same kernel accepts it; another one refuses it,
 * and the error says which kernel it is for.
 */
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { buildDirectory } from '../../../daemon/module/build.ts';
import { readKernelObject } from '../../../daemon/module/kernel_object.ts';
import { readPolicy } from '../../../daemon/module/policy.ts';
import { copySources } from '../../../daemon/module/sources.ts';
import { version } from '../../../daemon/version.ts';
import { toascope } from '../../kit/daemon/command.ts';
import { noConfig, unloadToa } from '../../kit/kernel/module.ts';
import { foreignModuleFile, hasModule, moduleFile } from '../../kit/kernel/module_file.ts';

const { signedOnly, lockdown = 'none' } = readPolicy();
const acceptsModule = hasModule && !signedOnly && lockdown === 'none';
const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
afterAll(() => rmSync(directory, { recursive: true }));

it.runIf(acceptsModule)('for exactly this kernel: it is loaded, and works', async () => {
	const file = join(directory, 'toa.ko');
	copyFileSync(moduleFile(), file);
	const { code, out, err } = await toascope(['module', 'load', file, ...noConfig]);
	expect({ code, out, err }).toEqual({ code: 0, out: 'toa.ko is loaded: getsockopt(4096) answers\n', err: '' });
	await unloadToa();
});

it.runIf(acceptsModule)('in the directory of local builds: it is found, and no headers are needed', async () => {
	const built = buildDirectory(release());
	copySources(built);
	copyFileSync(moduleFile(), join(built, 'toa.ko'));
	expect(await toascope(['module', 'load', ...noConfig])).toMatchObject({ code: 0, err: '' });
	await unloadToa();
	rmSync(built, { recursive: true });
});

it.runIf(acceptsModule)(
	'for another kernel: it is refused, with both releases, the message of the kernel, and the way out',
	async () => {
		const file = join(directory, 'foreign.ko');
		copyFileSync(foreignModuleFile(), file);
		const object = await readKernelObject(file);
		expect(object.version).toBe(version);
		expect(object.release).not.toBe(release());
		const { code, err } = await toascope(['module', 'load', file, ...noConfig]);
		expect(code).toBe(1);
		expect(err).toContain(`${file} was built for ${object.vermagic}; this is ${release()} [MODULE_VERMAGIC]`);
		expect(err).toMatch(/^ {2}.*toascope (-- )?module build, on this host/m);
		// kernel/module/main.c and version.c; what they check first differs between kernels
		expect(err).toMatch(
			/\btoa: (version magic '.*' should be '.*'|disagrees about version of symbol \w+|\.gnu\.linkonce\.this_module .*)/,
		);
		expect(existsSync('/sys/module/toa')).toBe(false);
	},
);

it.runIf(acceptsModule)('for another kernel, in the directory of local builds: it is not used', async () => {
	const built = buildDirectory(release());
	copySources(built);
	copyFileSync(foreignModuleFile(), join(built, 'toa.ko'));
	const { err } = await toascope(['module', 'load', ...noConfig]);
	// built again if the headers are installed; the copied file is never tried
	expect(err).not.toMatch(/MODULE_VERMAGIC/);
	if (existsSync('/sys/module/toa')) await unloadToa();
	else expect(err).toMatch(/MODULE_NO_HEADERS|MISSING_TOOL|MODULE_BUILD_FAILED/);
	rmSync(built, { recursive: true });
});
