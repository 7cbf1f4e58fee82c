// SPDX-License-Identifier: Apache-2.0
/** A check of the attachments that fails, or does not come: not ready, and nothing is said to be attached. */
import { expect, it } from 'vitest';
import { type AttachmentReport, nothingAttached } from '../../daemon/capture/attachment_check.ts';
import type { Provider } from '../../daemon/capture/provider.ts';
import type { LogSink } from '../../daemon/log_lines.ts';
import { AttachmentTask } from '../../daemon/service/attachment_task.ts';
import { staleMs } from '../../daemon/service/cadence.ts';
import { Endpoints } from '../../daemon/service/endpoints.ts';
import { Readiness } from '../../daemon/service/readiness.ts';

const log: LogSink = { info() {}, warn() {}, error() {} };
const attached: AttachmentReport = {
	...nothingAttached,
	programs: [{ program: 'toascope_sockops', id: 1, attached: true, hookGone: false, switchedOff: false }],
};
const failed: AttachmentReport = {
	...nothingAttached,
	missing: [{ reason: 'attachments_unknown', text: 'the check failed (ENOMEM)' }],
};
const noMemory = () => Object.assign(new Error('no memory'), { code: 'ENOMEM', errno: 12 });

/** A provider whose next check ends as `next` says. */
function stage() {
	const checks = { next: attached, onChange: () => {} };
	const provider = {
		attachments: nothingAttached,
		checkAttachments(onChange: () => void) {
			checks.onChange = onChange;
			this.attachments = checks.next;
			if (checks.next === failed) throw noMemory();
		},
	};
	const readiness = new Readiness();
	const failures: unknown[] = [];
	const clock = { ms: 0 };
	const task = new AttachmentTask({
		provider: provider as unknown as Provider,
		readiness,
		endpoints: new Endpoints({ create: () => expect.unreachable(), log, readiness, retry: false }),
		log,
		socket: undefined,
		onFailure: (error) => failures.push(error),
		nowMs: () => clock.ms,
	});
	return { checks, readiness, failures, clock, task, reasons: () => readiness.reasons.map(({ reason }) => reason) };
}

it('is not ready before the first check', () => {
	const { task, reasons } = stage();
	expect(reasons()).toEqual(['attachments_unknown']);
	task.run();
	expect(reasons()).toEqual([]);
	expect(task.allAttached).toBe(true);
});

it('is not ready while the check fails', () => {
	const { checks, task, reasons } = stage();
	task.run();
	checks.next = failed;
	expect(() => task.run()).toThrow('no memory');
	expect(reasons()).toEqual(['attachments_unknown']);
	expect(task.allAttached).toBe(false);
	checks.next = attached;
	task.run();
	expect(reasons()).toEqual([]);
});

it.each(['module_missing', 'module_parameters', 'module_switched_off'] as const)('is not attached: %s', (reason) => {
	const { checks, task, reasons } = stage();
	checks.next = { ...attached, missing: [{ reason, text: 'as others had it' }] };
	task.run();
	expect(reasons()).toEqual([reason]);
	expect(task.allAttached).toBe(false);
});

it('is not ready where no check comes', () => {
	const { clock, task, reasons } = stage();
	task.run();
	clock.ms = staleMs;
	task.checkAge();
	expect(reasons()).toEqual([]);
	clock.ms++;
	task.checkAge();
	expect(reasons()).toEqual(['attachments_unknown']);
	expect(task.allAttached).toBe(false);
	task.run();
	expect(reasons()).toEqual([]);
});

it('has failures of a check between the others counted', () => {
	const { checks, failures, task, reasons } = stage();
	task.run();
	checks.next = failed;
	checks.onChange();
	expect(failures).toMatchObject([{ code: 'ENOMEM' }]);
	expect(reasons()).toEqual(['attachments_unknown']);
});
