// SPDX-License-Identifier: Apache-2.0
/**
 * lockdown=confidentiality: status and doctor report what is refused; the host tests show that the
 * rest works.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { Check } from '../../../daemon/doctor/check.ts';
import { readPolicy } from '../../../daemon/module/policy.ts';
import { native } from '../../../native/binding.ts';
import { toascope } from '../../kit/daemon/command.ts';
import { Daemon } from '../../kit/daemon/daemon.ts';
import { noConfig } from '../../kit/kernel/module.ts';

const { features, taskHelpers } = native().probe();

describe.runIf(readPolicy().lockdown === 'confidentiality')('lockdown=confidentiality', () => {
	it('reads by address are refused, and nothing else where a helper returns a typed pointer', () => {
		expect(readFileSync('/sys/kernel/security/lockdown', 'utf8')).toContain('[confidentiality]');
		expect(features.kernelReads).not.toBe('');
		expect(features.taskRegisters === '').toBe(taskHelpers);
		expect(features.listeningSockets === '').toBe(features.tracingLocks === '');
		// distributions' kernels have it
		expect(features.fexit).toBe('');
	});

	it('status and doctor report that, and bpf as the provider', async () => {
		const { out, code } = await toascope(['doctor', '--json', ...noConfig]);
		const { checks } = JSON.parse(out) as { checks: Check[] };
		const of = (name: string) => checks.find((check) => check.name === name);
		expect(code).toBe(0);
		expect(of('lockdown')?.found).toMatch(/^confidentiality: /);
		expect(of('feature.kernelReads')).toMatchObject({ state: 'ok', found: `refused (${features.kernelReads})` });
		expect(of('programs')).toMatchObject({ state: 'ok' });
		expect(of('provider')?.found).toBe('bpf (auto: it works here)');
		expect(of('accept_program')?.found).toMatch(/^fexit/);

		await using daemon = await Daemon.start();
		const status = await daemon.json<{ refused_features: object }>('/v1/status');
		const refused = Object.entries(features).filter(([, errno]) => errno !== '');
		expect(status).toMatchObject({ provider: 'bpf', accept_program: 'fexit' });
		expect(status.refused_features).toEqual(Object.fromEntries(refused));
	});
});
