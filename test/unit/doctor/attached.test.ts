// SPDX-License-Identifier: Apache-2.0
/** The doctor's findings on toascope's programs and on other programs on the same hooks. */
import { expect, it } from 'vitest';
import type { FoundProgram, Neighbours } from '../../../daemon/capture/neighbours.ts';
import type { Status } from '../../../daemon/client/status.ts';
import { attachedChecks, otherProgramChecks } from '../../../daemon/doctor/attached.ts';

const status = (...attachments: NonNullable<Status['attachments']>) => ({ attachments }) as Status;
const sockops: FoundProgram = { hook: 'sockops', id: 7, name: 'toascope_sockop', cgroup: '/cg' };
const foreign: FoundProgram = { hook: 'sockops', id: 9, name: 'tcp_tuner', cgroup: '/' };
const found = (toascopes: Neighbours['toascopes'], others: readonly FoundProgram[] = []): Neighbours => ({
	toascopes,
	others,
	unnamed: [],
});
const withTrust = (...trust: string[]) => ({ trust });

it('names programs of the daemon that are not attached', () => {
	const [whole] = attachedChecks(status({ program: 'toascope_sockops', id: 7, attached: true }));
	expect(whole).toMatchObject({ name: 'attached', state: 'ok' });
	const [lacking] = attachedChecks(
		status(
			{ program: 'toascope_sockops', id: 7, attached: false },
			{ program: 'toascope_getsockopt', id: 8, attached: true },
		),
	);
	expect(lacking).toMatchObject({ state: 'fail', found: 'not attached: toascope_sockops' });
});

it('has no finding for a daemon of an earlier version, nor for the module without BPF', () => {
	expect(attachedChecks({} as Status)).toEqual([]);
	expect(attachedChecks(status())).toEqual([]);
});

it('names other programs on the hooks', () => {
	expect(otherProgramChecks(undefined, withTrust())).toEqual([]);
	expect(otherProgramChecks(found([]), withTrust())).toMatchObject([
		{ name: 'also_attached', state: 'ok', found: 'none' },
	]);
	expect(otherProgramChecks(found([], [foreign]), withTrust())).toMatchObject([
		{ name: 'also_attached', state: 'ok', found: 'tcp_tuner (sockops, id 9, at /)' },
	]);
});

it('warns about programs that no process holds', () => {
	const [check] = otherProgramChecks(
		found([{ cgroup: '/cg', programs: [sockops], pids: [], trust: undefined }]),
		withTrust(),
	);
	expect(check).toMatchObject({ name: 'left_behind', state: 'warn' });
	expect(check?.found).toContain('toascope_sockop (id 7)');
	expect(check?.advice).toContain('bpftool link detach id');
});

it.each([
	['the same networks, in another order', ['192.0.2.0/24', '198.51.100.0/24'], 'ok', 'the same trust'],
	['other networks', ['192.0.2.0/24'], 'warn', 'it trusts 192.0.2.0/24'],
	['every sender', [], 'warn', 'it trusts every sender'],
	['networks that cannot be read', undefined, 'warn', 'cannot be read'],
])('compares the trust of another daemon: %s', (_what, trust, state, text) => {
	const [check] = otherProgramChecks(
		found([{ cgroup: '/cg', programs: [sockops], pids: [42], trust }]),
		withTrust('198.51.100.0/24', '192.0.2.0/24'),
	);
	expect(check).toMatchObject({ name: 'other_daemon', state });
	expect(check?.found).toContain('(pid 42) is attached at /cg');
	expect(check?.found).toContain(text);
});

it('explains how to make switched-off programs run again', () => {
	const lacking = { program: 'toascope_accept', id: 7, attached: false };
	const off = { reason: 'programs_switched_off', text: 'kernel.ftrace_enabled is 0' };
	const detached = { reason: 'programs_detached', text: 'programs were found detached' };
	const advice = (...not_ready: NonNullable<Status['not_ready']>) =>
		attachedChecks({ ...status(lacking), not_ready } as Status)[0]?.advice;
	expect(advice(off)).toMatch(/switch it on: sysctl kernel\.ftrace_enabled=1$/);
	expect(advice(off, detached)).toMatch(/ftrace_enabled=1; others: they were detached from outside/);
	expect(advice()).toMatch(/^they were detached from outside/);
});
