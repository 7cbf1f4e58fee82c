// SPDX-License-Identifier: Apache-2.0
/** What `toascope module install` configures for boot, and the kernels that DKMS builds for. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseNetwork } from '../../../daemon/config/cidr.ts';
import { profiles } from '../../../daemon/config/profiles.ts';
import { hostRoots, type Roots } from '../../../daemon/host/roots.ts';
import { isLoadedAtBoot, loadAtBoot, modprobeFile, modulesLoadFile } from '../../../daemon/module/boot.ts';
import { parseDkms, targetKernels } from '../../../daemon/module/dkms.ts';

describe('at boot', () => {
	let roots: Roots;
	beforeEach(() => {
		roots = { ...hostRoots, etc: mkdtempSync(join(tmpdir(), 'toascope-etc-')) };
	});
	afterEach(() => rmSync(roots.etc, { recursive: true }));

	const config = (...networks: string[]) => ({
		profiles: profiles.parse(['nat64', 'toa4']),
		trust: networks.map(parseNetwork),
		sockopt: { enabled: true, ipv4: 'mapped' as const },
	});
	const parameters = () => readFileSync(modprobeFile(roots), 'utf8');

	it('the module is loaded with the networks of the configuration, from the start', () => {
		expect(isLoadedAtBoot(roots)).toBe(false);
		const steps = loadAtBoot(config('198.51.100.0/24', '2001:db8:1b::/64'), roots);
		const options = 'options toa profiles=nat64,toa4 trust=198.51.100.0/24,2001:db8:1b::/64';
		expect(parameters()).toBe(`# toascope module install\n${options}\n`);
		expect(readFileSync(modulesLoadFile(roots), 'utf8')).toBe('# toascope module install\ntoa\n');
		expect(steps).toEqual([
			`${modprobeFile(roots)}: at boot, until the daemon runs: ${options}`,
			`${modulesLoadFile(roots)}: loaded at boot`,
		]);
		expect(isLoadedAtBoot(roots)).toBe(true);
	});

	it('a repeated install updates the networks', () => {
		loadAtBoot(config('198.51.100.0/24'), roots);
		loadAtBoot(config('203.0.113.0/24'), roots);
		expect(parameters()).toMatch(/^options toa profiles=nat64,toa4 trust=203\.0\.113\.0\/24$/m);
		loadAtBoot(config(), roots);
		expect(parameters()).toMatch(/^options toa profiles=nat64,toa4$/m);
	});

	it('with a list that is too long, no peer is trusted until the daemon runs', () => {
		const many = Array.from({ length: 7000 }, (_, i) => `100.${64 + (i >> 8)}.${i & 255}.0/24`);
		loadAtBoot(config(...many), roots);
		expect(parameters()).toMatch(/ trust=255\.255\.255\.255\/32$/m);
	});

	it('a file with other contents stays unchanged, and the step says so', () => {
		const theirs = 'options toa trust=192.0.2.0/24\n';
		mkdirSync(dirname(modprobeFile(roots)));
		writeFileSync(modprobeFile(roots), theirs);
		const [step] = loadAtBoot(config('198.51.100.0/24'), roots);
		expect(parameters()).toBe(theirs);
		expect(step).toMatch(/left unchanged.*options toa profiles=nat64,toa4 trust=198\.51\.100\.0\/24$/);
	});
});

describe('dkms status', () => {
	it.each([
		['toa/0.1.0: added', { version: '0.1.0', kernel: undefined, state: 'added' }],
		['toa, 0.1.0: added', { version: '0.1.0', kernel: undefined, state: 'added' }],
		[
			'toa/0.1.0, 6.1.0-56-amd64, x86_64: installed',
			{ version: '0.1.0', kernel: '6.1.0-56-amd64', state: 'installed' },
		],
		[
			'toa, 0.0.9, 5.14.0-427.el9.x86_64, x86_64: installed (original_module exists)',
			{ version: '0.0.9', kernel: '5.14.0-427.el9.x86_64', state: 'installed' },
		],
		[
			'toa, 0.0.9, 5.14.0-503.el9.x86_64, x86_64: installed-weak from 5.14.0-427.el9.x86_64',
			{ version: '0.0.9', kernel: '5.14.0-503.el9.x86_64', state: 'installed-weak' },
		],
		['toa/0.1.0, 6.1.0-56-amd64, x86_64: built', { version: '0.1.0', kernel: '6.1.0-56-amd64', state: 'built' }],
	])('%s', (line, entry) => {
		expect(parseDkms([line])).toEqual([entry]);
	});

	it('is empty for lines that are not a status', () => {
		expect(parseDkms(['Error! Could not locate dkms.conf file.', ''])).toEqual([]);
	});

	it('kernels with an installed module get the new one, whatever version they had', () => {
		const lines = [
			'toa/0.0.9: added',
			'toa/0.0.9, 6.1.0-55-amd64, x86_64: installed',
			`toa/0.1.0, ${release()}, x86_64: installed`,
			'toa/0.1.0, 6.1.0-55-amd64, x86_64: built',
			'toa/0.1.0, 6.1.0-54-amd64, x86_64: built',
		];
		expect(targetKernels(parseDkms(lines))).toEqual([release(), '6.1.0-55-amd64']);
	});
});
