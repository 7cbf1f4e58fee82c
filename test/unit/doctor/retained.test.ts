// SPDX-License-Identifier: Apache-2.0
/** The finding on closed connections that leave the table too early for telemetry. */
import { expect, it } from 'vitest';
import { retainedChecks } from '../../../daemon/doctor/retained.ts';
import { statusOf } from '../../kit/model/status.ts';

const checksOf = (seconds: number | null, max: number, retain: string) => {
	const values = { 'connections.max': max, 'connections.retain': retain };
	return retainedChecks({ ...statusOf({ values }), connection_retained_seconds: seconds });
};

it.each<[string, number, number, string, string, string | undefined]>([
	['they stay long enough', 40, 65_536, '5 min', 'ok', undefined],
	['no more is configured', 10, 65_536, '10 s', 'ok', undefined],
	['they leave too early', 6.5, 65_536, '5 min', 'warn', 'set connections.max to 262144 (it is 65536)'],
	['they leave at once', 0, 65_536, '5 min', 'warn', 'set connections.max to 4194304 (it is 65536)'],
])('%s', (_what, seconds, max, retain, state, advice) => {
	const [found, ...others] = checksOf(seconds, max, retain);
	expect(others).toEqual([]);
	expect(found).toMatchObject({ state, found: `closed connections can be looked up for ${Math.floor(seconds)} s` });
	expect(found?.advice).toEqual(advice === undefined ? undefined : expect.stringContaining(advice));
});

it('there is none where no connection can be looked up', () => {
	expect(checksOf(null, 65_536, '5 min')).toEqual([]);
});
