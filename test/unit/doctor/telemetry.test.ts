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
const at = new Date().toISOString();

it.each<[string, Partial<OtlpJson>, string, RegExp]>([
	['accepted', {}, 'ok', /^sent to http:\/\/127\.0\.0\.1:4318\/v1\/metrics: 12,345 data points accepted, the last at /],
	['not yet sent', { succeeded_at: null, exported: '0' }, 'ok', /nothing has been sent yet$/],
	[
		'failing',
		{ failing: { at, message: 'connect ECONNREFUSED' } },
		'warn',
		/has not accepted them since .*: connect ECONNREFUSED \(12,345 data points accepted\)$/,
	],
	[
		'rejected',
		{ rejected: '7', rejection: { at, message: 'too old' } },
		'warn',
		/rejected 7 of them, last at .*: too old/,
	],
	['warned about', { rejection: { at, message: 'slow down' } }, 'warn', /warns, last at .*: slow down/],
	['rejected long ago', { rejected: '7', rejection: { at: sent.succeeded_at ?? '', message: 'x' } }, 'ok', /^sent to /],
	['spans', { signal: 'traces' }, 'ok', /12,345 spans accepted/],
	['records', { signal: 'logs' }, 'ok', /12,345 records accepted/],
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

it('names the variable that disables a signal', () => {
	const [check] = telemetryChecks({ ...statusOf({}), otlp: [], otlp_off: { traces: 'OTEL_SDK_DISABLED=true' } });
	expect(check).toMatchObject({
		name: 'otlp.traces',
		state: 'warn',
		found: 'not sent: OTEL_SDK_DISABLED=true disables them',
	});
});

it('has no finding where nothing is sent, or the daemon is of an earlier version', () => {
	expect(telemetryChecks({ ...statusOf({}), otlp: [] })).toEqual([]);
	expect(telemetryChecks(statusOf({}))).toEqual([]);
});
