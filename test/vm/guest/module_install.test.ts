// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope module install` with the headers of the guest's kernel: DKMS builds the module as it
 * would for a new kernel, modprobe finds it, and it can be removed as docs/kernel-module.md
 * describes.
 */
import { execFileSync } from 'node:child_process';
import {
	cpSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	symlinkSync,
	writeFileSync,
} from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ModuleStatus } from '../../../daemon/module/status.ts';
import { version } from '../../../daemon/version.ts';
import { toascope } from '../../kit/daemon/command.ts';
import { noConfig } from '../../kit/kernel/module.ts';
import { scaleTimeout } from '../../kit/timeouts.ts';

const kernel = release();
/**
 * Beside the guest's kernel, where the harness has unpacked them; undefined: they are for a newer
 * compiler, or there are none.
 */
const headers = /toascope\.modules=(\S+)\/image\//.exec(readFileSync('/proc/cmdline', 'utf8'))?.[1]?.concat('/headers');
const sources = headers === undefined ? undefined : join(headers, 'usr/src');
const modules = `/lib/modules/${kernel}`;
const bootFile = '/etc/modules-load.d/toa.conf';
const parametersFile = '/etc/modprobe.d/toa.conf';
const env = { TOASCOPE_TRUST: '198.51.100.0/24', TOASCOPE_PROFILES: 'nat64,toa4' };
/** Compiling takes minutes under emulation. */
const limit = scaleTimeout(600_000);

const run = (command: string, ...args: string[]) => execFileSync(command, args, { encoding: 'utf8' });
const status = async () => JSON.parse((await toascope(['module', 'status', '--json'])).out) as ModuleStatus;

describe.runIf(sources !== undefined && existsSync(sources))('with headers', () => {
	beforeAll(() => {
		// where the packages would be installed; what is written stays in the guest
		for (const name of readdirSync(sources as string)) {
			const path = join('/usr/src', name);
			rmSync(path, { recursive: true, force: true });
			symlinkSync(join(sources as string, name), path);
		}
		for (const name of ['upper', 'work']) mkdirSync(join('/run/modules', name), { recursive: true });
		const lower = `lowerdir=${headers}/lib/modules/${kernel}:${modules}`;
		const options = `${lower},upperdir=/run/modules/upper,workdir=/run/modules/work`;
		run('mount', '-t', 'overlay', '-o', options, 'modules', modules);
	});

	it(
		'after install, DKMS lists it, and both modprobe and module load load it',
		async () => {
			const { code, out, err } = await toascope(['module', 'install', ...noConfig], { env });
			expect({ code, err }).toEqual({ code: 0, err: '' });
			expect(out.split('\n')).toEqual([
				`/usr/src/toa-${version}: the sources`,
				`dkms: built and installed for ${kernel}, and for every future kernel`,
				`${parametersFile}: at boot, until the daemon runs: options toa profiles=nat64,toa4 trust=198.51.100.0/24`,
				`${bootFile}: loaded at boot`,
				'',
			]);
			expect(readFileSync(bootFile, 'utf8')).toMatch(/^toa$/m);
			const file = `${modules}/updates/dkms/toa.ko`;
			expect(await status()).toMatchObject({
				installed: { release: kernel, version, file: expect.stringContaining(file) },
				dkms: [expect.stringContaining('installed')],
				loaded_at_boot: true,
			});
			// as systemd-modules-load does
			run('modprobe', 'toa');
			expect(await status()).toMatchObject({
				loaded: { origin: 'own', version, parameters: { profiles: 'nat64,toa4', trust: '198.51.100.0/24' } },
			});
			run('modprobe', '-r', 'toa');
			expect((await toascope(['module', 'load', ...noConfig])).out).toMatch('getsockopt(4096) answers');
			expect((await toascope(['module', 'unload', ...noConfig])).out).toBe('toa.ko is unloaded\n');
		},
		limit,
	);

	it(
		'a build that fails changes nothing, and one that succeeds removes an older version',
		async () => {
			const older = '/usr/src/toa-0.0.9';
			cpSync(`/usr/src/toa-${version}`, older, { recursive: true });
			const conf = readFileSync(join(older, 'dkms.conf'), 'utf8');
			writeFileSync(join(older, 'dkms.conf'), conf.replace(`="${version}"`, '="0.0.9"'));
			run('dkms', 'remove', `toa/${version}`, '--all');
			run('dkms', 'install', 'toa/0.0.9', '-k', kernel);
			rmSync('/var/lib/toascope/module', { recursive: true });
			const before = (await status()).dkms;
			expect(before).toEqual([expect.stringContaining('0.0.9')]);

			const tools = mkdtempSync(join(tmpdir(), 'toascope-tools-'));
			writeFileSync(join(tools, 'make'), '#!/bin/sh\necho no; exit 2\n', { mode: 0o755 });
			const failed = await toascope(['module', 'install', ...noConfig], {
				env: { ...env, PATH: `${tools}:${process.env.PATH}` },
			});
			expect(failed).toMatchObject({ code: 1, err: expect.stringContaining('[MODULE_BUILD_FAILED]') });
			expect(await status()).toMatchObject({ dkms: before, installed: { release: kernel } });

			expect((await toascope(['module', 'install', ...noConfig], { env })).err).toBe('');
			expect(await status()).toMatchObject({
				dkms: [expect.stringContaining(`toa/${version}, ${kernel}`)],
				installed: { release: kernel, version },
			});
			expect(existsSync(older)).toBe(false);
			rmSync(tools, { recursive: true });
		},
		limit,
	);

	it(
		'the documented removal removes all of it',
		async () => {
			run('dkms', 'remove', `toa/${version}`, '--all');
			rmSync(`/usr/src/toa-${version}`, { recursive: true });
			rmSync(bootFile);
			rmSync(parametersFile);
			expect(await status()).toMatchObject({ installed: null, dkms: [], loaded_at_boot: false });
		},
		limit,
	);

	it(
		'one that was built for another build of this kernel is built again, once, when it is loaded',
		async () => {
			const file = `/var/lib/toascope/module/${kernel}/toa.ko`;
			const bytes = readFileSync(file);
			bytes.write('moq_unload', bytes.indexOf('mod_unload', bytes.indexOf('vermagic=')));
			writeFileSync(file, bytes);
			const given = await toascope(['module', 'load', file, ...noConfig]);
			expect(given.err).toMatch(/was built for another build of .* \[MODULE_VERMAGIC\]/);
			expect(await toascope(['module', 'load', ...noConfig])).toMatchObject({ code: 0, err: '' });
			expect((await toascope(['module', 'unload', ...noConfig])).out).toBe('toa.ko is unloaded\n');
			expect(readFileSync(file).includes('moq_unload')).toBe(false);
		},
		limit,
	);
});
