// SPDX-License-Identifier: Apache-2.0
/** Metrics by each protocol of OTLP, and with headers of a file. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { startGrpcReceiver } from '../../../../kit/telemetry/grpc_receiver.ts';
import { byName, open, receiver, setupPerTest, startNs } from '../../../../kit/telemetry/metric_exports.ts';
import { decodeMetricsRequest, type ReceivedMetric } from '../../../../kit/telemetry/otlp_decode.ts';

setupPerTest();

describe('the protocol', () => {
	it('http/json has integers as decimal strings and enumerations as numbers', async () => {
		const { metrics } = await open({ protocol: 'http/json' });
		await metrics.run();
		const [{ headers, body } = { headers: {}, body: '' }] = receiver.requests;
		expect(headers['content-type']).toBe('application/json');
		const sent = JSON.parse(String(body)).resourceMetrics[0].scopeMetrics[0].metrics as { name: string; sum: object }[];
		expect(sent.find(({ name }) => name === 'toascope.client.sent')?.sum).toMatchObject({
			aggregationTemporality: 2,
			isMonotonic: true,
			dataPoints: [
				{
					asInt: '9223372036854775807',
					startTimeUnixNano: String(startNs + 1n),
					attributes: [
						{ key: 'client.address', value: { stringValue: '2001:db8:c::1' } },
						{ key: 'server.address', value: { stringValue: '192.0.2.10' } },
						{ key: 'server.port', value: { intValue: '443' } },
					],
				},
				{},
				{},
			],
		});
	});

	it('http/json has the ids of exemplars in hexadecimal', async () => {
		const { metrics } = await open({ protocol: 'http/json' });
		await metrics.run();
		const [{ body } = { body: '' }] = receiver.requests;
		const sent = JSON.parse(String(body)).resourceMetrics[0].scopeMetrics[0].metrics as {
			name: string;
			histogram: object;
		}[];
		expect(sent.find(({ name }) => name === 'toascope.rtt')?.histogram).toMatchObject({
			dataPoints: [
				{
					exemplars: [
						{
							traceId: '0af7651916cd43dd8448eb211c80319c',
							spanId: 'b7ad6b7169203330',
							timeUnixNano: '1760000000000000001',
							asDouble: 0.000_062_5,
						},
						{ spanId: 'b7ad6b7169203333' },
					],
				},
			],
		});
	});

	it('grpc sends the same metrics as http/protobuf', async () => {
		const server = await startGrpcReceiver();
		try {
			const { metrics, statistics } = await open({ protocol: 'grpc', endpoint: server.endpoint });
			expect(await metrics.run()).toBe(true);
			const { metrics: http } = await open();
			await http.run();
			const names = (all: readonly ReceivedMetric[]) => all.map(({ name }) => name);
			const received = server.requests.flatMap(({ body }) => decodeMetricsRequest(body));
			expect(names(received)).toEqual(names(receiver.metrics));
			expect(byName(received, 'toascope.client.sent')).toEqual(byName(receiver.metrics, 'toascope.client.sent'));
			expect(statistics()).toMatchObject({ signal: 'metrics', rejected: 0n, failedRequests: 0n });
		} finally {
			server.close();
		}
	});

	it('has the headers of the file, which is read anew when it changes', async () => {
		const directory = mkdtempSync(join(tmpdir(), 'toascope-headers-'));
		const file = join(directory, 'headers');
		try {
			writeFileSync(file, '# a token\nAuthorization: Bearer first\n');
			const { metrics } = await open({ headersFile: file });
			await metrics.run();
			writeFileSync(file, 'Authorization: Bearer second\nX-Tenant: blue\n');
			await metrics.run();
			expect(receiver.requests.map(({ headers }) => [headers.authorization, headers['x-tenant']])).toEqual([
				['Bearer first', undefined],
				['Bearer second', 'blue'],
			]);
			writeFileSync(file, 'Bearer third\n');
			await expect(open({ headersFile: file })).rejects.toMatchObject({
				code: 'CONFIG_INVALID',
				message: 'otel.headers_file: line 1 is not a header',
			});
			expect(await metrics.run()).toBe(false);
			await expect(open({ headersFile: join(directory, 'missing') })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
		} finally {
			rmSync(directory, { recursive: true });
		}
	});
});
