// SPDX-License-Identifier: Apache-2.0
/** The attachment check: programs that cannot be attached again, a kernel that does not answer. */
import { beforeEach, expect, it } from 'vitest';
import { AttachmentCheck, type CheckInputs } from '../../../daemon/capture/attachment_check.ts';
import type { Attachment, Attachments } from '../../../daemon/capture/attachments.ts';
import { bpfReader } from '../../../daemon/capture/provider.ts';
import type { SavedSyns } from '../../../daemon/capture/saved_syns.ts';
import type { ServedCgroup } from '../../../daemon/capture/served_cgroup.ts';
import type { LogSink } from '../../../daemon/log_line.ts';
import type { BpfObject } from '../../../native/binding.ts';

const logged: Record<string, unknown>[] = [];
const push = (context: object, text: string) => void logged.push({ text, ...context });
const log: LogSink = { info: push, warn: push, error: push };
const fails = (code: string) => Object.assign(new Error(code), { code, errno: 1 });
const names = ['toascope_sockops', 'toascope_getsockopt', 'toascope_getpeername4'];

/** `refused`: the error that attaching a program again throws, by program. */
function setup(refused: Readonly<Record<string, Error>> = {}) {
	const attached = new Set(names);
	const switchedOff = new Set<string>();
	const tried: string[] = [];
	const kernel: { error: Error | undefined; synsError: Error | undefined } = { error: undefined, synsError: undefined };
	const state = (): Attachment[] => {
		if (kernel.error !== undefined) throw kernel.error;
		return names.map((program, id) => {
			// a program without a link is detached, whatever the kernel's switch says
			const off = switchedOff.has(program) && attached.has(program);
			return { program, id, attached: attached.has(program) && !off, hookGone: false, switchedOff: off };
		});
	};
	const reattach = (program: string) => {
		tried.push(program);
		if (refused[program] !== undefined) throw refused[program];
		attached.add(program);
	};
	const savedSyns = {
		check() {
			if (kernel.synsError !== undefined) throw kernel.synsError;
			return 0;
		},
	};
	const check = new AttachmentCheck(
		{
			bpf: {} as BpfObject,
			pins: undefined,
			attachments: { state, reattach } as unknown as Attachments,
			cgroup: { path: '/sys/fs/cgroup', wholeHost: true } as ServedCgroup,
			maps: [],
			savedSyns: savedSyns as unknown as SavedSyns,
			reader: bpfReader,
			onCgroup() {},
		} satisfies CheckInputs,
		log,
	);
	return { attached, switchedOff, tried, kernel, check, run: () => check.run(() => {}) };
}

beforeEach(() => {
	logged.length = 0;
});

it('tries to attach each program separately, the one that counts connections last', () => {
	const { attached, tried, run } = setup({
		toascope_getsockopt: fails('EPERM'),
		toascope_getpeername4: fails('EINVAL'),
	});
	attached.clear();
	run();
	expect(tried).toEqual(['toascope_getsockopt', 'toascope_getpeername4', 'toascope_sockops']);
	expect([...attached]).toEqual(['toascope_sockops']);
	expect(logged.filter(({ text }) => text === 'programs cannot be attached again')).toMatchObject([
		{ program: 'toascope_getsockopt', err: { code: 'EPERM' } },
		{ program: 'toascope_getpeername4', err: { code: 'EINVAL' } },
	]);
	expect(logged.at(-1)).toMatchObject({ text: 'programs are attached again', programs: ['toascope_sockops'] });
});

it('logs at most once a minute that programs were detached and attached again', () => {
	const { attached, check, run } = setup();
	for (let times = 0; times < 5; times++) {
		attached.clear();
		run();
	}
	expect(logged.map(({ text }) => text)).toEqual([
		'programs were detached: no connection is observed until they are attached again',
		'programs are attached again',
	]);
	expect(check.report.lost['toascope_sockops']).toBe(5n);
});

it('reports attachments as unknown before the first check and while the kernel does not answer', () => {
	const { kernel, check, run } = setup();
	const isUnknown = { programs: [], missing: [{ reason: 'attachments_unknown' }] };
	expect(check.report).toMatchObject(isUnknown);
	run();
	expect(check.report.missing).toEqual([]);
	expect(check.report.programs).toHaveLength(3);
	kernel.error = fails('ENOMEM');
	expect(run).toThrow('ENOMEM');
	expect(check.report).toMatchObject(isUnknown);
	kernel.error = undefined;
	run();
	expect(check.report.missing).toEqual([]);
});

it('reports detached programs even if the listeners cannot be read', () => {
	const { attached, kernel, check, run } = setup();
	run();
	attached.delete('toascope_getsockopt');
	kernel.synsError = fails('ENOMEM');
	expect(run).toThrow('ENOMEM');
	expect(check.report.missing).toMatchObject([{ reason: 'programs_detached' }]);
});

it('does not attach switched-off programs again, logs them once, and counts each time', () => {
	const { switchedOff, tried, check, run } = setup();
	const program = 'toascope_getpeername4';
	switchedOff.add(program);
	run();
	run();
	expect(tried).toEqual([]);
	expect(check.report.missing).toMatchObject([
		{ reason: 'programs_switched_off', text: expect.stringContaining(program) },
	]);
	expect(logged).toMatchObject([{ text: expect.stringMatching(/^programs are switched off/), programs: [program] }]);
	expect(check.report.lost[program]).toBe(1n);
	switchedOff.clear();
	run();
	expect(check.report.missing).toEqual([]);
	switchedOff.add(program);
	run();
	expect(check.report.lost[program]).toBe(2n);
});

it('counts and logs that a switched-off program was detached as well, and attaches it again', () => {
	const { attached, switchedOff, tried, check, run } = setup();
	const program = 'toascope_getpeername4';
	switchedOff.add(program);
	run();
	attached.delete(program);
	run();
	expect(check.report.missing).toMatchObject([{ reason: 'programs_detached' }]);
	expect([tried, check.report.lost[program]]).toEqual([[program], 2n]);
	expect(logged).toMatchObject([
		{ text: expect.stringMatching(/^programs are switched off/) },
		{ text: expect.stringMatching(/^programs were detached/), programs: [program] },
		{ text: 'programs are attached again', programs: [program] },
	]);
	run();
	expect(check.report.missing).toMatchObject([{ reason: 'programs_switched_off' }]);
});
