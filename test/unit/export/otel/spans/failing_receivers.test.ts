// SPDX-License-Identifier: Apache-2.0
/** Spans, and a collector that fails. */
import { pino } from 'pino';
import { describe, expect, it, vi } from 'vitest';
import { sampleAll } from '../../../../../daemon/model/sampling.ts';
import { busy, startGrpcReceiver } from '../../../../kit/telemetry/grpc_receiver.ts';
import { close, receiver, replaceReceiver, setupPerTest, start } from '../../../../kit/telemetry/spans.ts';

setupPerTest();

describe('a collector that', () => {
	it('hangs: the queue is bounded, what does not fit is counted, and shutdown ends in time', async () => {
		await replaceReceiver(() => 'hang');
		vi.stubEnv('OTEL_BSP_MAX_QUEUE_SIZE', '10');
		vi.stubEnv('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', '4');
		const spans = await start();
		// the queue does not thin out connections that met a condition
		for (let i = 0; i < 25; i++) close(spans, {}, { by: 'condition', threshold: sampleAll });
		await receiver.waitForRequests(1);
		expect(spans.stats()).toMatchObject({ pending: 10, dropped: { span_queue_full: 15n } });
		const began = performance.now();
		await spans.shutdown(200);
		expect(performance.now() - began).toBeLessThan(2000);
		expect(spans.stats()).toEqual({
			exported: 0n,
			pending: 0,
			dropped: { span_queue_full: 15n, span_export_failed: 10n },
		});
	});

	it('hangs: the pending spans are logged as lost', async () => {
		await replaceReceiver(() => 'hang');
		const lines: string[] = [];
		const logger = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
		const spans = await start({ logger });
		for (let i = 0; i < 3; i++) close(spans);
		await spans.shutdown(200);
		expect(lines.map((line) => JSON.parse(line) as object)).toContainEqual(
			expect.objectContaining({ msg: 'spans were lost while stopping', spans: 3 }),
		);
	});

	it('is not there: that is logged, and shutdown ends in time, even between two attempts', async () => {
		const { endpoint } = receiver;
		vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '10');
		vi.stubEnv('OTEL_BSP_SCHEDULE_DELAY', '1');
		await replaceReceiver();
		const lines: string[] = [];
		const failing = Promise.withResolvers<void>();
		const write = (line: string) => {
			lines.push(line);
			failing.resolve();
		};
		const spans = await start({ endpoint, logger: pino({ level: 'warn' }, { write }) });
		close(spans);
		await failing.promise;
		await spans.shutdown(200);
		expect(spans.stats()).toMatchObject({ pending: 0, dropped: { span_export_failed: 1n } });
		expect(lines.join('')).toContain('ECONNREFUSED');
	});

	it('is busy: the request is repeated after the Retry-After of the response', async () => {
		// shorter than the first of our own pauses, which is at least 800 ms
		vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '700');
		await replaceReceiver((request) =>
			request === 0 ? { status: 503, headers: { 'Retry-After': '0' } } : { status: 200 },
		);
		const spans = await start();
		close(spans);
		await spans.shutdown(5000);
		expect(receiver.requests).toHaveLength(2);
		expect(spans.stats()).toMatchObject({ exported: 1n, dropped: { span_export_failed: 0n } });
	});

	it('is busy over gRPC, with a delay (RetryInfo): the request is repeated after it', async () => {
		const at: number[] = [];
		const server = await startGrpcReceiver((request, done) => {
			at.push(performance.now());
			// longer than the first of our own pauses
			done(request === 0 ? busy('RESOURCE_EXHAUSTED', 1200) : null, Buffer.alloc(0));
		});
		try {
			const spans = await start({ protocol: 'grpc', endpoint: server.endpoint });
			close(spans);
			await spans.shutdown(10_000);
			expect(spans.stats()).toMatchObject({ exported: 1n, dropped: { span_export_failed: 0n } });
			const [first = 0, second = 0] = at;
			expect(second - first).toBeGreaterThan(1200);
		} finally {
			server.close();
		}
	});

	it('refuses a request over gRPC as too large (RESOURCE_EXHAUSTED without a delay): it is not repeated', async () => {
		const server = await startGrpcReceiver((_, done) => done(busy('RESOURCE_EXHAUSTED', undefined), Buffer.alloc(0)));
		try {
			const spans = await start({ protocol: 'grpc', endpoint: server.endpoint });
			close(spans);
			await spans.shutdown(5000);
			expect(server.requests).toHaveLength(1);
			expect(spans.stats()).toMatchObject({ exported: 0n, dropped: { span_export_failed: 1n } });
		} finally {
			server.close();
		}
	});

	it('refuses: the spans are counted, and the refusal is logged once', async () => {
		await replaceReceiver(() => ({ status: 400 }));
		const lines: string[] = [];
		vi.stubEnv('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', '1');
		const spans = await start({ logger: pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) }) });
		for (let i = 0; i < 3; i++) close(spans);
		await receiver.waitForRequests(3);
		await spans.shutdown(2000);
		expect(spans.stats()).toMatchObject({ exported: 0n, dropped: { span_export_failed: 3n } });
		expect(lines.filter((line) => line.includes('not reaching the OTLP receiver'))).toHaveLength(1);
	});

	it('accepts some spans: the rejected ones are counted', async () => {
		// ExportTraceServiceResponse { partial_success { rejected_spans: 2, error_message: "no" } }
		await replaceReceiver(() => ({ status: 200, body: Buffer.from([10, 6, 8, 2, 18, 2, 110, 111]) }));
		const spans = await start();
		for (let i = 0; i < 5; i++) close(spans);
		await spans.shutdown(2000);
		expect(spans.stats()).toMatchObject({ exported: 3n, dropped: { span_export_failed: 2n } });
	});

	it('has an invalid URL: CONFIG_INVALID', async () => {
		await expect(start({ endpoint: 'nowhere' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
	});
});
