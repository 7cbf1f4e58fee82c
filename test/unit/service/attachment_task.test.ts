// SPDX-License-Identifier: Apache-2.0
/**
 * While a check of the attachments fails, or does not run, the daemon is not ready, and reports
 * nothing as attached.
 */
import { expect, it } from 'vitest';
import { type AttachmentReport, nothingAttached } from '../../../daemon/capture/attachment_report.ts';
import type { Provider } from '../../../daemon/capture/provider.ts';
import type { LogSink } from '../../../daemon/log_line.ts';
import { AttachmentTask } from '../../../daemon/service/attachment_task.ts';
import { staleMs } from '../../../daemon/service/cadence.ts';
import { Endpoints } from '../../../daemon/service/endpoints.ts';
import { Readiness } from '../../../daemon/service/readiness.ts';

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

/** A provider whose next check ends as `checks.next` says. */
function setup() {
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
	const { task, reasons } = setup();
	expect(reasons()).toEqual(['attachments_unknown']);
	task.run();
	expect(reasons()).toEqual([]);
	expect(task.allAttached).toBe(true);
});

it('is not ready while the check fails', () => {
	const { checks, task, reasons } = setup();
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
	const { checks, task, reasons } = setup();
	checks.next = { ...attached, missing: [{ reason, text: 'changed by others' }] };
	task.run();
	expect(reasons()).toEqual([reason]);
	expect(task.allAttached).toBe(false);
});

it('is not ready if no check runs', () => {
	const { clock, task, reasons } = setup();
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

it('counts failures of a check between the periodic ones', () => {
	const { checks, failures, task, reasons } = setup();
	task.run();
	checks.next = failed;
	checks.onChange();
	expect(failures).toMatchObject([{ code: 'ENOMEM' }]);
	expect(reasons()).toEqual(['attachments_unknown']);
});
