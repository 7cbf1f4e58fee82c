// SPDX-License-Identifier: Apache-2.0
/** Metrics over OTLP, from the snapshot to what a receiver reads off the wire. */
import { describe, expect, it, vi } from 'vitest';
import { metricTable } from '../../../../../daemon/export/metric_table.ts';
import type { ClientSeries } from '../../../../../daemon/model/series.ts';
import { listenerTotals, snapshot, tableOf } from '../../../../kit/model/snapshot.ts';
import {
	byName,
	open,
	receiver,
	setupPerTest,
	stage,
	startNs,
	whole,
} from '../../../../kit/telemetry/metric_exports.ts';
import { decodeMetricsRequest } from '../../../../kit/telemetry/otlp_decode.ts';
import { prometheusName } from '../../../../kit/telemetry/otlp_series.ts';

setupPerTest();

describe('an export', () => {
	it('has every metric of the table, under the name that Prometheus makes of it', async () => {
		const { metrics } = await open();
		expect(await metrics.run()).toBe(true);
		const names = receiver.metrics.map((metric) => prometheusName(metric));
		expect(new Set(names)).toEqual(new Set(metricTable.map(({ name }) => name)));
		for (const { name, type, help, otel } of metricTable) {
			const sent = receiver.metrics.find((metric) => prometheusName(metric) === name);
			const types = { counter: 'sum', gauge: 'gauge', histogram: 'histogram', summary: 'histogram' } as const;
			expect(sent, name).toMatchObject({ name: otel.name, unit: otel.unit, description: help, type: types[type] });
			expect(sent?.temporality, name).toBe(type === 'gauge' ? 'unspecified' : 'cumulative');
		}
	});

	it('has the exact numbers of each client, their start, and the time of the snapshot', async () => {
		const { metrics } = await open();
		await metrics.run();
		const client = {
			'client.address': '2001:db8:c::1',
			'server.address': '192.0.2.10',
			'server.port': 443n,
		};
		const point = (value: bigint) => ({
			attributes: client,
			startTimeUnixNano: startNs + 1n,
			timeUnixNano: BigInt(snapshot.atMs) * 1_000_000n,
			value,
		});
		const first = (name: string) => byName(receiver.metrics, `toascope.client.${name}`)[0];
		expect(first('connections.opened')).toEqual(point(9_007_199_254_740_993n));
		expect(first('received')).toEqual(point(9_007_199_254_740_991n));
		expect(first('sent')).toEqual(point(9_223_372_036_854_775_807n));
		expect(first('connections.active')).toEqual({ ...point(3n), startTimeUnixNano: 0n });
		expect(first('rtt')).toEqual({
			...point(0n),
			value: Number('9223372036.854775807'),
			count: 2n,
			bounds: [],
			buckets: [],
		});
		expect(byName(receiver.metrics, 'toascope.client.received').map(({ attributes }) => attributes)).toEqual([
			client,
			{ ...client, 'client.address': 'direct' },
			{ 'client.address': 'other', 'server.address': '2001:db8::10', 'server.port': 443n },
		]);
	});

	it('has the histograms of /metrics, and the attributes that spans have', async () => {
		const { metrics } = await open();
		await metrics.run();
		const [rtt] = byName(receiver.metrics, 'toascope.rtt');
		expect(rtt).toMatchObject({
			count: 7n,
			value: 9_007_199.254740993,
			bounds: [0.0000625, 0.000125, 1],
			buckets: [1n, 0n, 2n, 4n],
			startTimeUnixNano: startNs,
			// the second bucket has counted nothing
			exemplars: [
				{
					traceId: '0af7651916cd43dd8448eb211c80319c',
					spanId: 'b7ad6b7169203330',
					timeUnixNano: 1_760_000_000_000_000_001n,
					value: 0.000_062_5,
				},
				{ spanId: 'b7ad6b7169203333', value: 9_007_199.254_740_989 },
			],
		});
		const [conflict] = byName(receiver.metrics, 'toascope.handshakes').slice(-1);
		expect(conflict?.attributes).toEqual({
			'server.address': '192.0.2.10',
			'server.port': 443n,
			'toascope.verdict': 'conflict',
		});
		expect(byName(receiver.metrics, 'toascope.bpf.program.run')).toMatchObject([{ value: 1.234567891 }]);
		// nothing says when a program's statistics began
		expect(byName(receiver.metrics, 'toascope.bpf.program.runs')).toMatchObject([{ startTimeUnixNano: 0n }]);
		expect(byName(receiver.metrics, 'toascope.drops')[0]).toMatchObject({ startTimeUnixNano: startNs });
	});

	it('has the resource: the instance is the same after a restart', async () => {
		vi.stubEnv('OTEL_RESOURCE_ATTRIBUTES', 'deployment.environment.name=test');
		const { metrics } = await open();
		await metrics.run();
		expect(receiver.metrics[0]).toMatchObject({
			scope: { name: 'toascope', version: '1.2.3' },
			resource: {
				'service.name': 'toascope',
				'service.version': '1.2.3',
				'service.instance.id': 'f1d2c3b4-0000-5000-8000-000000000000',
				'deployment.environment.name': 'test',
			},
		});
		expect(receiver.metrics[0]?.resource).not.toHaveProperty(['process.pid']);
	});

	it('of many clients is divided into requests of at most 1,000 points, without a limit on clients', async () => {
		const series = ({ client = '', traffic = listenerTotals.total }): ClientSeries => ({
			client,
			listener: '192.0.2.10:443',
			sinceNs: startNs,
			traffic,
			active: 0,
		});
		const names = Array.from({ length: 3000 }, (_, index) => `2001:db8::${index.toString(16)}`);
		stage.shown = { ...whole, clients: tableOf(names.map((client) => series({ client }))) };
		const { metrics, statistics } = await open();
		expect(await metrics.run()).toBe(true);
		const sizes = receiver.requests.map(({ body }) =>
			decodeMetricsRequest(body).reduce((sum, { points }) => sum + points.length, 0),
		);
		expect(Math.max(...sizes)).toBe(1000);
		const sent = byName(receiver.metrics, 'toascope.client.connections.opened');
		expect(sent.map(({ attributes }) => attributes['client.address'])).toEqual(names);
		expect(statistics()?.exported).toBe(BigInt(sizes.reduce((sum, size) => sum + size, 0)));
	});
});
