// SPDX-License-Identifier: Apache-2.0
/** What a check does with programs that cannot be attached again, and with a kernel that answers nothing. */
import { beforeEach, expect, it } from 'vitest';
import { AttachmentCheck, type Checked } from '../../daemon/capture/attachment_check.ts';
import type { Attachment, Attachments } from '../../daemon/capture/attachments.ts';
import type { KeptSyns } from '../../daemon/capture/kept_syns.ts';
import type { BpfObject } from '../../daemon/capture/native.ts';
import { bpfReader } from '../../daemon/capture/provider.ts';
import type { ServedCgroup } from '../../daemon/capture/served_cgroup.ts';
import type { LogSink } from '../../daemon/log_lines.ts';

const said: Record<string, unknown>[] = [];
const push = (context: object, text: string) => void said.push({ text, ...context });
const log: LogSink = { info: push, warn: push, error: push };
const fails = (code: string) => Object.assign(new Error(code), { code, errno: 1 });
const names = ['toascope_sockops', 'toascope_getsockopt', 'toascope_getpeername4'];

/** Programs by name, and what attaching them again throws. */
function stage(refused: Readonly<Record<string, Error>> = {}) {
	const attached = new Set(names);
	const switchedOff = new Set<string>();
	const tried: string[] = [];
	const kernel: { error: Error | undefined; synsError: Error | undefined } = { error: undefined, synsError: undefined };
	const state = (): Attachment[] => {
		if (kernel.error !== undefined) throw kernel.error;
		return names.map((program, id) => {
			// the kernel's switch changes nothing of one that has no link
			const off = switchedOff.has(program) && attached.has(program);
			return { program, id, attached: attached.has(program) && !off, hookGone: false, switchedOff: off };
		});
	};
	const again = (program: string) => {
		tried.push(program);
		if (refused[program] !== undefined) throw refused[program];
		attached.add(program);
	};
	const keptSyns = {
		check() {
			if (kernel.synsError !== undefined) throw kernel.synsError;
			return 0;
		},
	};
	const check = new AttachmentCheck(
		{
			bpf: {} as BpfObject,
			pins: undefined,
			attachments: { state, again } as unknown as Attachments,
			cgroup: { path: '/sys/fs/cgroup', wholeHost: true } as ServedCgroup,
			maps: [],
			keptSyns: keptSyns as unknown as KeptSyns,
			reader: bpfReader,
			onCgroup() {},
		} satisfies Checked,
		log,
	);
	return { attached, switchedOff, tried, kernel, check, run: () => check.run(() => {}) };
}

beforeEach(() => {
	said.length = 0;
});

it('tries each program on its own, the one that counts last', () => {
	const { attached, tried, run } = stage({
		toascope_getsockopt: fails('EPERM'),
		toascope_getpeername4: fails('EINVAL'),
	});
	attached.clear();
	run();
	expect(tried).toEqual(['toascope_getsockopt', 'toascope_getpeername4', 'toascope_sockops']);
	expect([...attached]).toEqual(['toascope_sockops']);
	expect(said.filter(({ text }) => text === 'programs cannot be attached again')).toMatchObject([
		{ program: 'toascope_getsockopt', err: { code: 'EPERM' } },
		{ program: 'toascope_getpeername4', err: { code: 'EINVAL' } },
	]);
	expect(said.at(-1)).toMatchObject({ text: 'programs are attached again', programs: ['toascope_sockops'] });
});

it('says once a minute what is detached and attached again', () => {
	const { attached, check, run } = stage();
	for (let times = 0; times < 5; times++) {
		attached.clear();
		run();
	}
	expect(said.map(({ text }) => text)).toEqual([
		'programs were detached: they see no connection until they are attached again',
		'programs are attached again',
	]);
	expect(check.report.lost['toascope_sockops']).toBe(5n);
});

it('knows of nothing attached before it has asked, and while the kernel does not answer', () => {
	const { kernel, check, run } = stage();
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

it('reports what is detached also where listeners cannot be asked', () => {
	const { attached, kernel, check, run } = stage();
	run();
	attached.delete('toascope_getsockopt');
	kernel.synsError = fails('ENOMEM');
	expect(run).toThrow('ENOMEM');
	expect(check.report.missing).toMatchObject([{ reason: 'programs_detached' }]);
});

it('does not attach again what is switched off, says it once, and counts it each time', () => {
	const { switchedOff, tried, check, run } = stage();
	const program = 'toascope_getpeername4';
	switchedOff.add(program);
	run();
	run();
	expect(tried).toEqual([]);
	expect(check.report.missing).toMatchObject([
		{ reason: 'programs_switched_off', text: expect.stringContaining(program) },
	]);
	expect(said).toMatchObject([{ text: expect.stringMatching(/^programs are switched off/), programs: [program] }]);
	expect(check.report.lost[program]).toBe(1n);
	switchedOff.clear();
	run();
	expect(check.report.missing).toEqual([]);
	switchedOff.add(program);
	run();
	expect(check.report.lost[program]).toBe(2n);
});

it('counts and says that what was switched off is detached as well, and attaches it again', () => {
	const { attached, switchedOff, tried, check, run } = stage();
	const program = 'toascope_getpeername4';
	switchedOff.add(program);
	run();
	attached.delete(program);
	run();
	expect(check.report.missing).toMatchObject([{ reason: 'programs_detached' }]);
	expect([tried, check.report.lost[program]]).toEqual([[program], 2n]);
	expect(said).toMatchObject([
		{ text: expect.stringMatching(/^programs are switched off/) },
		{ text: expect.stringMatching(/^programs were detached/), programs: [program] },
		{ text: 'programs are attached again', programs: [program] },
	]);
	run();
	expect(check.report.missing).toMatchObject([{ reason: 'programs_switched_off' }]);
});
