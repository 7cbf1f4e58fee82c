// SPDX-License-Identifier: Apache-2.0
/** Spans, from connection events to what a collector reads off the wire. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { spanTime } from '../../daemon/export/otel/connection_span.ts';
import { type SpanExport, type SpanOptions, startSpans } from '../../daemon/export/otel/spans.ts';
import type { Connection } from '../../daemon/model/connection.ts';
import { decodeTraceRequest, type OtlpReceiver, startOtlpReceiver } from '../fixtures/otlp_receiver.ts';

const CONTAINER = 'c0ffee'.padEnd(64, '0');
/** Wall clock less monotonic clock: no multiple of anything, so that any rounding shows. */
const OFFSET = 1_795_400_000_123_456_789n;

const connection: Connection = {
	cookie: 77n,
	netns: 4_026_531_840,
	local: { family: 4, text: '192.0.2.10', port: 80 },
	peer: { family: 4, text: '198.51.100.7', port: 40_001 },
	client: { family: 6, text: '2001:db8:c::1', port: 51_234 },
	verdict: 'toa',
	profile: 'nat64',
	segment: 'ack',
	state: 'closed',
	openedNs: 1_000_000_000_001n,
	acceptedNs: 1_000_000_250_002n,
	closedNs: 1_003_500_000_003n,
	seen: 'getpeername',
	owner: { by: 'accept', pid: 4321, comm: 'nginx', cgroupId: 99n },
	receivedBytes: 5_000_000_000n,
	sentBytes: 9_007_199_254_740_991n,
	retransmittedSegments: 3,
	srttUs: 12_345,
};

const opened: SpanExport[] = [];
let receiver: OtlpReceiver;

async function start(options: Partial<SpanOptions> = {}): Promise<SpanExport> {
	const spans = await startSpans({
		endpoint: receiver.endpoint,
		clock: (monotonicNs) => monotonicNs + OFFSET,
		resolveContainer: () => undefined,
		logger: pino({ level: 'silent' }),
		version: '1.2.3',
		...options,
	});
	opened.push(spans);
	return spans;
}

function close(spans: SpanExport, change: Partial<Connection> = {}): void {
	spans.onEvent({ type: 'closed', connection: { ...connection, ...change } });
}

beforeEach(async () => {
	for (const name of Object.keys(process.env)) if (name.startsWith('OTEL_')) vi.stubEnv(name, undefined);
	receiver = await startOtlpReceiver();
});

afterEach(async () => {
	await Promise.all(opened.splice(0).map((spans) => spans.shutdown(0)));
	await receiver.close();
	vi.unstubAllEnvs();
});

describe('a span on the wire', () => {
	it('has every attribute and time, exactly', async () => {
		const spans = await start({ resolveContainer: (owner) => (owner.cgroupId === 99n ? CONTAINER : undefined) });
		close(spans);
		await spans.shutdown(2000);

		expect(receiver.spans).toHaveLength(1);
		const [span] = receiver.spans;
		expect(span).toMatchObject({
			name: 'TCP connection',
			kind: 2,
			parentSpanId: '',
			scope: { name: 'toascope', version: '1.2.3' },
			startTimeUnixNano: connection.openedNs + OFFSET,
			endTimeUnixNano: 1_003_500_000_003n + OFFSET,
		});
		expect(span?.traceId).toMatch(/^[0-9a-f]{32}$/);
		expect(span?.attributes).toEqual({
			'client.address': '2001:db8:c::1',
			'client.port': 51_234n,
			'network.peer.address': '198.51.100.7',
			'network.peer.port': 40_001n,
			'server.address': '192.0.2.10',
			'server.port': 80n,
			'network.transport': 'tcp',
			'network.type': 'ipv4',
			'process.pid': 4321n,
			'process.executable.name': 'nginx',
			'container.id': CONTAINER,
			'toascope.owner': 'accept',
			'toascope.verdict': 'toa',
			'toascope.profile': 'nat64',
			'toascope.segment': 'ack',
			'toascope.accept.seen': 'getpeername',
			'toascope.accept.wait_seconds': 0.000_250_001,
			'toascope.received_bytes': 5_000_000_000n,
			'toascope.sent_bytes': 9_007_199_254_740_991n,
			'toascope.retransmitted_segments': 3n,
			'toascope.rtt_seconds': 0.012_345,
			'toascope.netns': 4_026_531_840n,
		});
		expect(span?.events).toEqual([
			{ name: 'toascope.connection.accepted', timeUnixNano: 1_000_000_250_002n + OFFSET, attributes: {} },
		]);
		expect(spans.stats()).toEqual({
			exported: 1n,
			pending: 0,
			dropped: { span_queue_full: 0n, span_export_failed: 0n },
		});
	});

	it('leaves out what is not known, and says that the owner is the listener', async () => {
		const spans = await start();
		const unseen = { seen: 'unseen', acceptedNs: undefined, srttUs: undefined } as const;
		close(spans, { ...unseen, owner: { by: 'listener', pid: 7, comm: 'node', cgroupId: 0n } });
		close(spans, { ...unseen, owner: undefined, peer: { family: 6, text: '2001:db8::5', port: 9 } });
		await spans.shutdown(2000);

		const [listener, nobody] = receiver.spans;
		expect(listener?.attributes).toMatchObject({
			'toascope.owner': 'listener',
			'process.pid': 7n,
			'toascope.accept.seen': 'unseen',
		});
		expect(listener?.events).toEqual([]);
		for (const name of ['container.id', 'toascope.rtt_seconds', 'toascope.accept.wait_seconds']) {
			expect(listener?.attributes).not.toHaveProperty([name]);
		}
		expect(nobody?.attributes).toMatchObject({ 'network.type': 'ipv6' });
		for (const name of ['process.pid', 'process.executable.name', 'toascope.owner']) {
			expect(nobody?.attributes).not.toHaveProperty([name]);
		}
	});

	it('is made at the close and for connections with a client only', async () => {
		const spans = await start();
		spans.onEvent({ type: 'opened', connection: { ...connection, state: 'open', closedNs: undefined } });
		spans.onEvent({ type: 'accepted', connection: { ...connection, state: 'open', closedNs: undefined } });
		close(spans, { client: undefined, verdict: 'none' });
		close(spans, { verdict: 'conflict' });
		await spans.shutdown(2000);
		expect(receiver.spans.map((span) => span.attributes['toascope.verdict'])).toEqual(['conflict']);
	});

	it('keeps the nanoseconds of any time', async () => {
		const times = [
			0n,
			1n,
			999_999_999n,
			1_000_000_000n,
			4_294_967_296n,
			1_795_400_000_999_999_999n,
			9_223_372_036_854_775_807n,
		];
		const spans = await start({ clock: (ns) => ns });
		for (const time of times) close(spans, { openedNs: time, acceptedNs: undefined, closedNs: time });
		await spans.shutdown(2000);
		expect(receiver.spans.map((span) => span.startTimeUnixNano)).toEqual(times);
		expect(receiver.spans.map((span) => span.endTimeUnixNano)).toEqual(times);
		expect(times.map(spanTime).map(([s, ns]) => BigInt(s) * 1_000_000_000n + BigInt(ns))).toEqual(times);
	});

	it('asks for the container while the process is still there', async () => {
		const asked: string[] = [];
		const spans = await start({ resolveContainer: (owner) => void asked.push(owner.comm) });
		spans.onEvent({ type: 'accepted', connection: { ...connection, state: 'open', closedNs: undefined } });
		expect(asked).toEqual(['nginx']);
	});
});

describe('the standard variables', () => {
	it('name the service, the resource, the endpoint and the headers', async () => {
		vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', `${receiver.endpoint}/base/`);
		vi.stubEnv('OTEL_EXPORTER_OTLP_HEADERS', 'x-tenant=blue');
		vi.stubEnv('OTEL_EXPORTER_OTLP_COMPRESSION', 'gzip');
		vi.stubEnv('OTEL_SERVICE_NAME', 'edge');
		vi.stubEnv('OTEL_RESOURCE_ATTRIBUTES', 'deployment.environment.name=test');
		const spans = await start({ endpoint: undefined });
		close(spans);
		await spans.shutdown(2000);
		expect(receiver.requests.map((request) => request.path)).toEqual(['/base/v1/traces']);
		expect(receiver.requests[0]?.headers).toMatchObject({ 'x-tenant': 'blue', 'content-encoding': 'gzip' });
		expect(receiver.spans[0]?.resource).toMatchObject({
			'service.name': 'edge',
			'service.version': '1.2.3',
			'deployment.environment.name': 'test',
			'telemetry.sdk.language': 'nodejs',
		});
	});

	it('have a default: the service is toascope, and the resource has no process of its own', async () => {
		const spans = await start();
		close(spans);
		await spans.shutdown(2000);
		expect(receiver.spans[0]?.resource['service.name']).toBe('toascope');
		expect(receiver.spans[0]?.resource).not.toHaveProperty(['process.pid']);
	});

	it.each([
		['OTEL_SDK_DISABLED', 'true'],
		['OTEL_TRACES_EXPORTER', 'none'],
		['OTEL_TRACES_SAMPLER', 'always_off'],
	])('%s=%s makes no span and loses none', async (name, value) => {
		vi.stubEnv(name, value);
		const spans = await start();
		close(spans);
		expect(spans.stats().pending).toBe(0);
		await spans.shutdown(2000);
		expect(receiver.requests).toEqual([]);
		expect(spans.stats().dropped).toEqual({ span_queue_full: 0n, span_export_failed: 0n });
	});

	it('start neither metrics nor logs', async () => {
		vi.stubEnv('OTEL_METRIC_EXPORT_INTERVAL', '1');
		vi.stubEnv('OTEL_METRIC_EXPORT_TIMEOUT', '1');
		vi.stubEnv('OTEL_BSP_SCHEDULE_DELAY', '1');
		const spans = await start();
		close(spans);
		await receiver.waitForSpans(1);
		await spans.shutdown(2000);
		expect(new Set(receiver.requests.map((request) => request.path))).toEqual(new Set(['/v1/traces']));
	});
});

describe('other protocols', () => {
	it('http/json', async () => {
		const spans = await start({ protocol: 'http/json' });
		close(spans);
		await spans.shutdown(2000);
		const [request] = receiver.requests;
		expect(request?.headers['content-type']).toBe('application/json');
		const [span] = JSON.parse(String(request?.body)).resourceSpans[0].scopeSpans[0].spans;
		expect(span).toMatchObject({ name: 'TCP connection', startTimeUnixNano: String(connection.openedNs + OFFSET) });
	});

	it('grpc', async () => {
		const bodies: Buffer[] = [];
		const asIs = (message: Buffer) => message;
		const server = new Server();
		const path = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';
		server.addService(
			{
				export: {
					path,
					requestStream: false,
					responseStream: false,
					requestSerialize: asIs,
					requestDeserialize: asIs,
					responseSerialize: asIs,
					responseDeserialize: asIs,
				},
			},
			{
				export(call: { request: Buffer }, done: (error: null, response: Buffer) => void) {
					bodies.push(call.request);
					done(null, Buffer.alloc(0));
				},
			},
		);
		const port = await new Promise<number>((resolve, reject) =>
			server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
				error ? reject(error) : resolve(bound),
			),
		);
		const spans = await start({ protocol: 'grpc', endpoint: `http://127.0.0.1:${port}` });
		close(spans);
		await spans.shutdown(2000);
		server.forceShutdown();
		expect(spans.stats().exported).toBe(1n);
		expect(bodies.flatMap(decodeTraceRequest).map((span) => span.attributes['client.address'])).toEqual([
			'2001:db8:c::1',
		]);
	});
});

describe('a collector that does not do its part', () => {
	async function replaceReceiver(...args: Parameters<typeof startOtlpReceiver>): Promise<void> {
		await receiver.close();
		receiver = await startOtlpReceiver(...args);
	}

	it('hangs: the queue is bounded, what does not fit is counted, and the end comes in time', async () => {
		await replaceReceiver(() => 'hang');
		vi.stubEnv('OTEL_BSP_MAX_QUEUE_SIZE', '10');
		vi.stubEnv('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', '4');
		const spans = await start();
		for (let i = 0; i < 25; i++) close(spans);
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

	it('is not there: the end comes in time, also between two attempts', async () => {
		const { endpoint } = receiver;
		await replaceReceiver();
		const lines: string[] = [];
		const logger = pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) });
		const spans = await start({ endpoint, logger });
		close(spans);
		await spans.shutdown(200);
		expect(spans.stats()).toMatchObject({ pending: 0, dropped: { span_export_failed: 1n } });
		expect(lines.join('')).toContain('ECONNREFUSED');
	});

	it('is busy: the request is repeated', async () => {
		await replaceReceiver((request) =>
			request === 0 ? { status: 503, headers: { 'Retry-After': '0' } } : { status: 200 },
		);
		const spans = await start();
		close(spans);
		await spans.shutdown(5000);
		expect(receiver.requests).toHaveLength(2);
		expect(spans.stats()).toMatchObject({ exported: 1n, dropped: { span_export_failed: 0n } });
	});

	it('refuses: the spans are counted, and it is told once', async () => {
		await replaceReceiver(() => ({ status: 400 }));
		const lines: string[] = [];
		vi.stubEnv('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', '1');
		const spans = await start({ logger: pino({ level: 'warn' }, { write: (line: string) => void lines.push(line) }) });
		for (let i = 0; i < 3; i++) close(spans);
		await receiver.waitForRequests(3);
		await spans.shutdown(2000);
		expect(spans.stats()).toMatchObject({ exported: 0n, dropped: { span_export_failed: 3n } });
		expect(lines.filter((line) => line.includes('not reaching the collector'))).toHaveLength(1);
	});

	it('takes a part: what it rejected is counted', async () => {
		// ExportTraceServiceResponse { partial_success { rejected_spans: 2, error_message: "no" } }
		await replaceReceiver(() => ({ status: 200, body: Buffer.from([10, 6, 8, 2, 18, 2, 110, 111]) }));
		const spans = await start();
		for (let i = 0; i < 5; i++) close(spans);
		await spans.shutdown(2000);
		expect(spans.stats()).toMatchObject({ exported: 3n, dropped: { span_export_failed: 2n } });
	});

	it('has no URL: CONFIG_INVALID', async () => {
		await expect(start({ endpoint: 'nowhere' })).rejects.toMatchObject({ code: 'CONFIG_INVALID' });
	});

	it.each([
		['OTEL_EXPORTER_OTLP_ENDPOINT', '127.0.0.1:4318'],
		['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4318'],
		['OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'collector'],
	])('has no URL in %s, %s: CONFIG_INVALID', async (name, value) => {
		vi.stubEnv('OTEL_EXPORTER_OTLP_ENDPOINT', receiver.endpoint);
		vi.stubEnv(name, value);
		await expect(start({ endpoint: undefined })).rejects.toMatchObject({
			code: 'CONFIG_INVALID',
			message: `${name} is no URL of HTTP`,
		});
	});
});
