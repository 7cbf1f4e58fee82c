// SPDX-License-Identifier: Apache-2.0
/** Metrics with delta temporality. */
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { Series } from '../../../../../daemon/model/series.ts';
import { SeriesTableBuilder } from '../../../../../daemon/model/series_table.ts';
import { addTo, noTraffic } from '../../../../../daemon/model/traffic.ts';
import { listenerTotals } from '../../../../kit/model/snapshot.ts';
import {
	byName,
	open,
	receiver,
	setupPerTest,
	stage,
	startNs,
	whole,
} from '../../../../kit/telemetry/metric_exports.ts';

setupPerTest();

describe('delta', () => {
	const seriesOf = (client: string, sinceNs = startNs): Series => ({ client, listener: '192.0.2.10:443', sinceNs });
	const [a, b, older] = [seriesOf('a'), seriesOf('b'), seriesOf('older', startNs - 1n)];
	let atMs = whole.atMs;

	/** A snapshot, a second later, in which these series have received so many bytes. */
	function show(...received: readonly (readonly [Series, bigint])[]): void {
		const table = new SeriesTableBuilder(received.length);
		for (const [series, bytes] of received) {
			const at = table.add(series);
			addTo(table.words, at, { ...noTraffic, receivedBytes: bytes, rttSumNs: bytes, rttCount: bytes });
		}
		atMs += 1000;
		stage.shown = { ...whole, atMs, clients: table.build() };
	}

	/** The points of the requests since the last call: client, value, and the seconds that it covers. */
	let seen = 0;
	function sent(name = 'toascope.client.received') {
		const points = byName(receiver.metrics.slice(seen), name);
		seen = receiver.metrics.length;
		return points.map(({ attributes, value, startTimeUnixNano, timeUnixNano }) => [
			attributes['client.address'],
			value,
			startTimeUnixNano === startNs ? 'all' : Number(timeUnixNano - startTimeUnixNano) / 1e9,
		]);
	}

	beforeEach(() => {
		vi.stubEnv('OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE', 'delta');
		[atMs, seen] = [whole.atMs, 0];
	});

	it('has what was added since the last export; a series that has not changed has no point', async () => {
		show([a, 5n], [b, 9_007_199_254_740_993n]);
		const { metrics } = await open();
		await metrics.begin(false);
		await metrics.run();
		expect(receiver.metrics.find(({ name }) => name === 'toascope.client.received')?.temporality).toBe('delta');
		expect(sent()).toEqual([
			['a', 5n, 'all'],
			['b', 9_007_199_254_740_993n, 'all'],
		]);
		show([a, 5n], [b, 9_007_199_254_740_995n]);
		await metrics.run();
		expect(sent()).toEqual([['b', 2n, 1]]);
		show([a, 12n], [b, 9_007_199_254_740_995n]);
		await metrics.run();
		expect(sent()).toEqual([['a', 7n, 2]]);
	});

	it('moves on only when the receiver has accepted', async () => {
		show([a, 5n]);
		const { metrics, statistics } = await open();
		await metrics.run();
		expect(sent()).toEqual([['a', 5n, 'all']]);
		stage.answers[receiver.requests.length] = { status: 400 };
		show([a, 6n]);
		expect(await metrics.run()).toBe(false);
		expect(sent()).toEqual([]);
		show([a, 8n]);
		expect(await metrics.run()).toBe(true);
		expect(sent()).toEqual([['a', 3n, 2]]);
		expect(statistics()).toMatchObject({ failedRequests: 1n, rejected: 0n });
	});

	it('has histograms and summaries, too', async () => {
		show([a, 5n]);
		const { metrics } = await open();
		await metrics.run();
		show([a, 8n]);
		stage.shown = {
			...stage.shown,
			listeners: [{ ...listenerTotals, rtt: { ...listenerTotals.rtt, buckets: [2n, 0n, 2n, 9n] } }],
		};
		seen = receiver.metrics.length;
		await metrics.run();
		const second = receiver.metrics.slice(seen);
		expect(byName(second, 'toascope.client.rtt')).toMatchObject([
			{ count: 3n, value: 3e-9, startTimeUnixNano: (BigInt(atMs) - 1000n) * 1_000_000n },
		]);
		const [rtt] = byName(second, 'toascope.rtt');
		expect(rtt).toMatchObject({ count: 6n, value: 0, buckets: [1n, 0n, 0n, 5n] });
		// the exemplars are of connections that the first point has
		expect(rtt?.exemplars).toBeUndefined();
	});

	it('does not send again what an earlier daemon has counted', async () => {
		show([older, 1000n]);
		const { metrics } = await open();
		await metrics.begin(true);
		// the wall clock says nothing about who began a series
		show([a, 6n], [older, 1003n], [seriesOf('b', startNs - 1n), 4n]);
		await metrics.run();
		expect(sent()).toEqual([
			['a', 6n, 'all'],
			['older', 3n, 1],
			['b', 4n, expect.any(Number)],
		]);
	});

	it('counts everything from the start of the first daemon, whatever the wall clock says', async () => {
		const before = seriesOf('before', startNs - 1n);
		show([before, 7n]);
		const { metrics } = await open();
		await metrics.begin(false);
		await metrics.run();
		expect(sent()).toEqual([['before', 7n, expect.any(Number)]]);
	});

	it('begins anew with a series that ended and came back', async () => {
		show([a, 5n], [b, 1n]);
		const { metrics } = await open();
		await metrics.run();
		show([b, 1n]);
		await metrics.run();
		const back = seriesOf('a', startNs + 10_000_000_000n);
		show([back, 7n], [b, 1n]);
		sent();
		await metrics.run();
		expect(sent()).toEqual([['a', 7n, expect.any(Number)]]);
	});

	it('with the preference "lowmemory" is only for histograms and summaries', async () => {
		vi.stubEnv('OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE', 'lowmemory');
		const { metrics } = await open();
		await metrics.run();
		const temporalities = new Map(receiver.metrics.map(({ type, temporality }) => [type, temporality]));
		expect(Object.fromEntries(temporalities)).toEqual({ sum: 'cumulative', histogram: 'delta', gauge: 'unspecified' });
	});
});
