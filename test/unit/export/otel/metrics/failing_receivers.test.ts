// SPDX-License-Identifier: Apache-2.0
/** Metrics, and a receiver that fails. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { listenerTotals, tableOf } from '../../../../kit/model/snapshot.ts';
import { busy, startGrpcReceiver } from '../../../../kit/telemetry/grpc_receiver.ts';
import {
	byName,
	open,
	receiver,
	setupPerTest,
	stage,
	startNs,
	whole,
} from '../../../../kit/telemetry/metric_exports.ts';
import { scaleTimeout } from '../../../../kit/timeouts.ts';

setupPerTest();

describe('a receiver that', () => {
	const lines = () =>
		stage.logged.map((line) => JSON.parse(line) as { msg: string; signal: string }).map(({ msg }) => msg);

	it('fails: it is logged once, the rest of the export is not tried, and the next one has everything', async () => {
		stage.answers = [{ status: 400 }, { status: 403 }];
		const { metrics, statistics, status } = await open();
		expect([await metrics.run(), await metrics.run()]).toEqual([false, false]);
		expect(receiver.requests).toHaveLength(2);
		expect(status()).toMatchObject({ failing: { message: 'the receiver responded with 403 Forbidden' } });
		expect(await metrics.run()).toBe(true);
		expect(byName(receiver.metrics, 'toascope.client.received')).toHaveLength(3);
		expect(statistics()).toMatchObject({ failedRequests: 2n });
		expect(status()).toMatchObject({ failing: undefined });
		expect(lines().slice(1)).toEqual([
			'telemetry is not reaching the OTLP receiver',
			'telemetry is reaching the OTLP receiver again',
		]);
	});

	it('rejects points: they are counted, and the reason is stage.logged once', async () => {
		// ExportMetricsServiceResponse { partial_success { rejected_data_points: 2, error_message: "no" } }
		const partial = { status: 200, body: Buffer.from([10, 6, 8, 2, 18, 2, 110, 111]) };
		stage.answers = [partial, partial];
		const { metrics, statistics, status } = await open();
		expect([await metrics.run(), await metrics.run()]).toEqual([true, true]);
		const points = receiver.metrics.reduce((sum, metric) => sum + metric.points.length, 0);
		expect(statistics()).toMatchObject({ rejected: 4n, exported: BigInt(points - 4) });
		expect(status()).toMatchObject({ rejection: { message: 'no' } });
		expect(lines().slice(1)).toEqual(['the OTLP receiver rejected a part of a request']);
	});

	it('refuses one request: the others are sent nevertheless', async () => {
		const names = Array.from({ length: 300 }, (_, index) => `2001:db8::${index.toString(16)}`);
		const series = (client: string) => ({ client, listener: '192.0.2.10:443', sinceNs: startNs });
		const traffic = listenerTotals.total;
		stage.shown = { ...whole, clients: tableOf(names.map((client) => ({ ...series(client), traffic, active: 0 }))) };
		stage.answers = [{ status: 200 }, { status: 400, body: Buffer.from('out of order sample') }];
		const { metrics, status } = await open();
		expect(await metrics.run()).toBe(false);
		expect(receiver.requests).toHaveLength(3);
		const message = 'the receiver responded with 400 Bad Request: out of order sample';
		expect(status()).toMatchObject({ failing: { message }, failedRequests: 1n });
		expect(await metrics.run()).toBe(true);
		expect(lines().slice(1)).toEqual([
			'telemetry is not reaching the OTLP receiver',
			'telemetry is reaching the OTLP receiver again',
		]);
	});

	it('is slow: a second export does not begin beside the first', async () => {
		const { metrics } = await open();
		const [first, second] = [metrics.run(), metrics.run()];
		expect(second).toBe(first);
		expect(await first).toBe(true);
		expect(receiver.requests).toHaveLength(1);
	});

	it('does not answer at the end: that costs no more than the time for it', async () => {
		stage.answers = ['hang'];
		const { metrics } = await open();
		const running = metrics.run();
		await receiver.waitForRequests(1);
		const began = performance.now();
		metrics.stop();
		await metrics.stopped;
		await metrics.finish(100);
		expect(performance.now() - began).toBeLessThan(scaleTimeout(1500));
		expect(receiver.requests).toHaveLength(1);
		await running;
	});

	it.each([
		['its last export hangs', ['hang']],
		['it has failed before', [{ status: 400 }, 'hang']],
	] as const)('does not accept the last export in time: that is logged once (%s)', async (_, answers) => {
		stage.answers = [...answers];
		const { metrics, status } = await open();
		for (let failed = 1; failed < answers.length; failed++) expect(await metrics.run()).toBe(false);
		await metrics.finish(100);
		expect(status()).toMatchObject({ failing: { message: 'the last export did not end within 100 ms' } });
		expect(lines().slice(1)).toEqual(['telemetry is not reaching the OTLP receiver']);
	});

	it('does not answer an export that is in progress at the end: that is logged', async () => {
		vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '300');
		stage.answers = ['hang', 'hang'];
		const { metrics, status } = await open();
		const running = metrics.run();
		await receiver.waitForRequests(1);
		await metrics.finish(100);
		expect(status()).toMatchObject({ failing: { message: 'the last export did not end within 100 ms' } });
		await running;
		expect(lines().slice(1)).toEqual(['telemetry is not reaching the OTLP receiver']);
	});

	it('hangs: OTEL_METRIC_EXPORT_TIMEOUT also limits a request', async () => {
		vi.stubEnv('OTEL_METRIC_EXPORT_TIMEOUT', '50');
		stage.answers = ['hang'];
		const { metrics } = await open();
		const began = performance.now();
		expect(await metrics.run()).toBe(false);
		// less than the limit of a request, 10 s
		expect(performance.now() - began).toBeLessThan(9000);
	});

	it('is slow: an export that exceeds OTEL_METRIC_EXPORT_TIMEOUT is given up, and the next one has everything', async () => {
		vi.stubEnv('OTEL_METRIC_EXPORT_TIMEOUT', '3000');
		const names = Array.from({ length: 1000 }, (_, index) => `2001:db8::${index.toString(16)}`);
		const series = (client: string) => ({ client, listener: '192.0.2.10:443', sinceNs: startNs });
		const traffic = listenerTotals.total;
		stage.shown = { ...whole, clients: tableOf(names.map((client) => ({ ...series(client), traffic, active: 0 }))) };
		const slow = () => setTimeout(1100, { status: 200 });
		stage.answers = [slow, slow, slow, slow, slow];
		const { metrics, statistics, status } = await open();
		expect(await metrics.run()).toBe(false);
		expect(status()).toMatchObject({ failing: { message: 'the export did not end within 3000 ms' } });
		expect(statistics()).toMatchObject({ failedRequests: 0n });
		expect(receiver.requests.length).toBeLessThanOrEqual(3);
		stage.answers = [];
		let before: number;
		// on a busy machine, one more can be given up
		do before = receiver.metrics.length;
		while (!(await metrics.run()));
		expect(byName(receiver.metrics.slice(before), 'toascope.client.received')).toHaveLength(names.length);
	});

	it('is busy: the request is repeated after the Retry-After of the response', async () => {
		stage.answers = [{ status: 429, headers: { 'Retry-After': '0' } }];
		const { metrics, statistics } = await open();
		expect(await metrics.run()).toBe(true);
		expect(receiver.requests).toHaveLength(2);
		expect(statistics()).toMatchObject({ failedRequests: 0n });
	});

	it('hangs: the request ends at its time limit', async () => {
		vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '50');
		stage.answers = ['hang'];
		const { metrics } = await open();
		expect(await metrics.run()).toBe(false);
		expect(await metrics.run()).toBe(true);
	});

	it('over gRPC vanishes without closing its connections: the next request dials again', async () => {
		vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '1500');
		const server = await startGrpcReceiver();
		const connections: Socket[] = [];
		// what is between the daemon and the receiver, and can lose all segments of a connection
		const between = createServer((near) => {
			const far = connect(Number(new URL(server.endpoint).port), '127.0.0.1');
			near.pipe(far).pipe(near);
			for (const socket of [near, far]) socket.on('error', () => {});
			connections.push(near, far);
		}).listen(0, '127.0.0.1');
		await once(between, 'listening');
		try {
			const endpoint = `http://127.0.0.1:${(between.address() as AddressInfo).port}`;
			// grpc-js shares one connection between clients of the same address
			const { metrics } = await open({ protocol: 'grpc', endpoint });
			const { metrics: beside } = await open({ protocol: 'grpc', endpoint });
			expect([await metrics.run(), await beside.run()]).toEqual([true, true]);
			const dialled = connections.length;
			for (const socket of connections) socket.unpipe().removeAllListeners('data').pause();
			expect([await metrics.run(), await beside.run()]).toEqual([false, false]);
			expect([await metrics.run(), await beside.run()]).toEqual([true, true]);
			expect(connections.length).toBeGreaterThan(dialled);
		} finally {
			for (const socket of connections) socket.destroy();
			between.close();
			server.close();
		}
	});

	it.each(['UNAVAILABLE', 'RESOURCE_EXHAUSTED'] as const)(
		'over gRPC responds %s with a delay (RetryInfo): nothing is sent until then',
		async (code) => {
			const server = await startGrpcReceiver((request, done) => {
				if (request === 0) done(busy(code, 400), Buffer.alloc(0));
				else done(null, Buffer.alloc(0));
			});
			try {
				const { metrics, statistics } = await open({ protocol: 'grpc', endpoint: server.endpoint });
				expect(await metrics.run()).toBe(false);
				const failedAt = performance.now();
				expect(await metrics.run()).toBe(false);
				expect(server.requests).toHaveLength(1);
				while (!(await metrics.run())) await setImmediate();
				expect(performance.now() - failedAt).toBeGreaterThan(350);
				expect(server.requests).toHaveLength(2);
				expect(statistics()).toMatchObject({ failedRequests: 1n });
			} finally {
				server.close();
			}
		},
	);

	it('over gRPC gets new headers when their file changes, and none that gRPC cannot send', async () => {
		const directory = mkdtempSync(join(tmpdir(), 'toascope-headers-'));
		const file = join(directory, 'headers');
		const server = await startGrpcReceiver();
		try {
			writeFileSync(file, 'Authorization: Bearer first\n');
			const { metrics, status } = await open({ protocol: 'grpc', endpoint: server.endpoint, headersFile: file });
			await metrics.run();
			writeFileSync(file, 'Authorization: Bearer second\n');
			await metrics.run();
			const sent = server.requests.map(({ metadata }) => metadata.get('authorization'));
			expect(sent).toEqual([['Bearer first'], ['Bearer second']]);
			writeFileSync(file, 'Authorization: Bearer t\u00f6ken\n');
			expect(await metrics.run()).toBe(false);
			expect(
				JSON.stringify([status(), stage.logged], (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
			).not.toContain('ken');
		} finally {
			rmSync(directory, { recursive: true });
			server.close();
		}
	});
});
