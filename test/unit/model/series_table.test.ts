// SPDX-License-Identifier: Apache-2.0
/** The table of series returns what was added, exact to the last digit, as the table grows. */
import { describe, expect, it } from 'vitest';
import type { ClientSeries } from '../../../daemon/model/series.ts';
import { SeriesTableBuilder } from '../../../daemon/model/series_table.ts';
import { addTo, noTraffic, trafficFields } from '../../../daemon/model/traffic.ts';
import { tableOf } from '../../kit/model/snapshot.ts';

const series = (index: number): ClientSeries => ({
	client: `c${index}`,
	listener: '192.0.2.1:80',
	sinceNs: BigInt(index),
	traffic: {
		opened: BigInt(index),
		closed: 1n,
		receivedBytes: 2n ** 63n - BigInt(index + 1),
		sentBytes: 2n ** 32n + BigInt(index),
		retransmittedSegments: 4n,
		rttSumNs: 5n,
		rttCount: 6n,
		durationSumNs: 7n,
	},
	active: 3 * index,
});

describe.each([0, 1, 2, 3, 100])('%i series', (count) => {
	const all = Array.from({ length: count }, (_, index) => series(index));
	it('are returned as they were added', () => {
		const table = tableOf(all);
		expect(table.length).toBe(count);
		expect([...table]).toEqual(all);
		for (const [row, { traffic }] of all.entries()) {
			for (const field of trafficFields) expect(BigInt(table.value(row, field))).toBe(traffic[field]);
		}
		expect(() => table.series(count)).toThrow(RangeError);
	});
});

it('a row is zeros until it is written, and the name of a series stays the same object', () => {
	const builder = new SeriesTableBuilder(0);
	const name = { client: 'c', listener: 'l', sinceNs: 0n };
	builder.add(name);
	const table = builder.build();
	expect(table.series(0)).toBe(name);
	expect([...table]).toEqual([{ ...name, traffic: noTraffic, active: 0 }]);
});

it.each([
	[0n, 0],
	[4_294_967_295n, 4_294_967_295],
	[4_294_967_296n, 4_294_967_296],
	[9_007_199_254_740_991n, Number.MAX_SAFE_INTEGER],
	[9_007_199_254_740_992n, 9_007_199_254_740_992n],
	[18_446_744_073_709_551_615n, 18_446_744_073_709_551_615n],
])('%i is exact, and a number where possible', (value, shown) => {
	const builder = new SeriesTableBuilder(1);
	addTo(builder.words, builder.add(series(0)), { ...noTraffic, rttCount: value });
	expect(builder.build().value(0, 'rttCount')).toBe(shown);
});
