// SPDX-License-Identifier: Apache-2.0
/** The finding on closed connections that leave the table too early for telemetry. */
import { expect, it } from 'vitest';
import type { Status } from '../../../daemon/client/status.ts';
import { retainedChecks } from '../../../daemon/doctor/retained.ts';
import { statusOf } from '../../kit/model/status.ts';

const checksOf = (retention: NonNullable<Status['connection_retention']> | null, max: number, retain: string) => {
	const values = { 'connections.max': max, 'connections.retain': retain };
	return retainedChecks({ ...statusOf({ values }), connection_retention: retention });
};

it.each<[string, number, number | null, number, string, string | undefined]>([
	['they stay long enough', 40, 50, 65_536, '5 min', undefined],
	['no more is configured', 10, 12, 65_536, '10 s', undefined],
	['none had to leave', 5, null, 65_536, '5 s', undefined],
	['they leave too early', 6.5, 7, 65_536, '5 min', 'set connections.max to 262144'],
	['a long one left at once, others stay: one step', 0.1, 44, 65_536, '5 min', 'set connections.max to 131072'],
	['the table is larger than configured, by rounding', 10, 12, 40_000, '5 min', 'set connections.max to 131072'],
	['they leave at once', 0, 0.1, 65_536, '5 min', 'set connections.max to 4194304'],
	['there is no larger table', 1, 2, 4_194_304, '5 min', 'send them sooner'],
])('%s', (_what, seconds, slotSeconds, max, retain, advice) => {
	const found = `closed connections can be looked up for ${Math.floor(seconds)} s`;
	const warning = { state: 'warn', found, advice: expect.stringContaining(advice ?? '') };
	const expected = advice === undefined ? [] : [expect.objectContaining(warning)];
	expect(checksOf({ seconds, slot_seconds: slotSeconds }, max, retain)).toEqual(expected);
});

it('there is none where no connection can be looked up', () => {
	expect(checksOf(null, 65_536, '5 min')).toEqual([]);
});
