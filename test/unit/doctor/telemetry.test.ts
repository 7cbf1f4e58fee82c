// SPDX-License-Identifier: Apache-2.0
/** The doctor's findings on what is sent over OTLP. */
import { expect, it } from 'vitest';
import type { OtlpJson } from '../../../daemon/api/status.ts';
import { telemetryChecks } from '../../../daemon/doctor/telemetry.ts';
import { statusOf } from '../../kit/model/status.ts';

const sent: OtlpJson = {
	signal: 'metrics',
	url: 'http://127.0.0.1:4318/v1/metrics',
	exported: '12345',
	rejected: '0',
	failed_requests: '0',
	succeeded_at: '2026-01-01T00:05:00.000Z',
	failing: null,
	rejection: null,
};
const at = '2026-01-01T00:04:00.000Z';

it.each<[string, Partial<OtlpJson>, string, RegExp]>([
	['accepted', {}, 'ok', /^sent to http:\/\/127\.0\.0\.1:4318\/v1\/metrics: 12,345 data points accepted, the last at /],
	['not yet sent', { succeeded_at: null, exported: '0' }, 'ok', /nothing has been sent yet$/],
	[
		'failing',
		{ failing: { at, message: 'connect ECONNREFUSED' } },
		'warn',
		/does not accept them since .*: connect ECONNREFUSED \(12,345 data points accepted\)$/,
	],
	[
		'rejected',
		{ rejected: '7', rejection: { at, message: 'too old' } },
		'warn',
		/rejected 7 of them, last at .*: too old/,
	],
	['spans', { signal: 'traces' }, 'ok', /12,345 spans accepted/],
])('%s', (_what, change, state, found) => {
	const [check, ...more] = telemetryChecks({ ...statusOf({}), otlp: [{ ...sent, ...change }] });
	expect(more).toEqual([]);
	expect(check).toMatchObject({
		name: `otlp.${change.signal ?? 'metrics'}`,
		state,
		found: expect.stringMatching(found),
	});
	expect(check?.advice === undefined).toBe(state === 'ok');
});

it('has no finding where nothing is sent, or the daemon is of an earlier version', () => {
	expect(telemetryChecks({ ...statusOf({}), otlp: [] })).toEqual([]);
	expect(telemetryChecks(statusOf({}))).toEqual([]);
});
