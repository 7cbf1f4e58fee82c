// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { KernelSettings } from '../../daemon/capture/kernel_settings.ts';
import { settingsLayout } from '../../daemon/capture/layout.gen.ts';
import type { BpfObject } from '../../daemon/capture/native.ts';
import { servedCgroupId } from '../../daemon/capture/served_cgroup.ts';
import { loadConfig } from '../../daemon/config/load.ts';

/** Writes down what is asked of it, equal things in a row once. */
function listening() {
	const said: string[] = [];
	const say = (what: string) => {
		if (said.at(-1) !== what) said.push(what);
		return true;
	};
	const bpf = {
		update: (map: string) => say(`write ${map}`),
		remove: (map: string) => say(`remove ${map}`),
		waitForRuns: () => say('wait'),
	};
	return { said, settings: new KernelSettings(bpf as unknown as BpfObject) };
}

const written = ['write ports', 'write trust', 'write settings', 'write generation'];

describe('a configuration in the kernel', () => {
	const config = loadConfig({ path: undefined, env: { TOASCOPE_TRUST: '192.0.2.0/24' } });

	it('is switched on when all of it is written', () => {
		const { said, settings } = listening();
		settings.apply(config, 0, 0n);
		expect(said).toEqual(written);
	});

	it('takes the place of one that was in force when no program goes by that any more', () => {
		const { said, settings } = listening();
		settings.apply(config, 0, 0n);
		settings.apply(config, 0, 0n);
		said.length = 0;
		settings.apply(config, 0, 0n);
		expect(said).toEqual(['wait', 'write ports', 'remove trust', ...written.slice(1)]);
	});
});

it.each([
	['bpf', 1],
	['module', 0],
] as const)('with the provider %s, virtual servers: %i', (provider, expected) => {
	let flag: number | undefined;
	const bpf = {
		update(map: string, _: Buffer, value: Buffer) {
			if (map === 'settings') flag = value[settingsLayout.virtualServers];
			return true;
		},
		remove: () => true,
		waitForRuns() {},
	};
	const config = loadConfig({ path: undefined, env: { TOASCOPE_BALANCER: 'aliyun-vtoa' } });
	new KernelSettings(bpf as unknown as BpfObject, provider).apply(config, 0, 0n);
	expect(flag).toBe(expected);
});

describe('the cgroup that the programs go by', () => {
	it('is that at the path', () => expect(servedCgroupId({ wholeHost: false }, 7n)).toBe(7n));
	it('is every one for the whole host', () => expect(servedCgroupId({ wholeHost: true }, 1n)).toBe(0n));
	it('is none while it is awaited', () => expect(servedCgroupId({ wholeHost: false }, undefined)).toBe(2n ** 64n - 1n));
});
