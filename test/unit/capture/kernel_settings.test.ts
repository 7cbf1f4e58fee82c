// SPDX-License-Identifier: Apache-2.0
import { describe, expect, it } from 'vitest';
import { KernelSettings } from '../../../daemon/capture/kernel_settings.ts';
import { settingsLayout } from '../../../daemon/capture/records/layout.gen.ts';
import { servedCgroupId } from '../../../daemon/capture/served_cgroup.ts';
import { noEmission } from '../../../daemon/capture/settings.ts';
import { loadConfig } from '../../../daemon/config/load.ts';
import type { BpfObject } from '../../../native/binding.ts';

/** Records the calls on the BPF object; equal calls in a row are recorded once. */
function recorder() {
	const calls: string[] = [];
	const record = (call: string) => {
		if (calls.at(-1) !== call) calls.push(call);
		return true;
	};
	const bpf = {
		map: (name: string) => ({
			update: () => record(`write ${name}`),
			remove: () => record(`remove ${name}`),
		}),
		synchronizeBlocking: () => record('wait'),
	};
	return { calls, settings: new KernelSettings(bpf as unknown as BpfObject) };
}

const written = ['write ports', 'write trust', 'write settings', 'write generation'];

describe('a configuration in the kernel', () => {
	const config = loadConfig({ path: undefined, env: { TOASCOPE_TRUST: '192.0.2.0/24' } });

	it('takes effect only after all of it is written', () => {
		const { calls, settings } = recorder();
		settings.apply(config, noEmission, 0n);
		expect(calls).toEqual(written);
	});

	it('replaces an earlier one only after a grace period, when no program uses that any more', () => {
		const { calls, settings } = recorder();
		settings.apply(config, noEmission, 0n);
		settings.apply(config, noEmission, 0n);
		calls.length = 0;
		settings.apply(config, noEmission, 0n);
		expect(calls).toEqual(['wait', 'write ports', 'remove trust', ...written.slice(1)]);
	});
});

it.each([
	['bpf', 1],
	['module', 0],
] as const)('with the provider %s, the flag for virtual servers is %i', (provider, expected) => {
	let flag: number | undefined;
	const bpf = {
		map: (name: string) => ({
			update(_: Buffer, value: Buffer) {
				if (name === 'settings') flag = value[settingsLayout.virtualServers];
				return true;
			},
			remove: () => true,
		}),
		synchronizeBlocking() {},
	};
	const config = loadConfig({ path: undefined, env: { TOASCOPE_BALANCER: 'aliyun-vtoa' } });
	new KernelSettings(bpf as unknown as BpfObject, provider).apply(config, noEmission, 0n);
	expect(flag).toBe(expected);
});

describe('the cgroup that the programs serve', () => {
	it('is the one at the path', () => expect(servedCgroupId({ wholeHost: false }, 7n)).toBe(7n));
	it('is every cgroup (0) for the whole host', () => expect(servedCgroupId({ wholeHost: true }, 1n)).toBe(0n));
	it('is none (all ones) while the cgroup does not exist yet', () => {
		expect(servedCgroupId({ wholeHost: false }, undefined)).toBe(2n ** 64n - 1n);
	});
});
