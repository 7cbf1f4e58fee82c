// SPDX-License-Identifier: Apache-2.0
/** Spans, from connection events to what a collector reads off the wire. */
import { describe, expect, it, vi } from 'vitest';
import { startGrpcReceiver } from '../../../../kit/telemetry/grpc_receiver.ts';
import { decodeTraceRequest } from '../../../../kit/telemetry/otlp_decode.ts';
import {
	attributesOnTheWire,
	close,
	connection,
	listener,
	OFFSET,
	receiver,
	sampled,
	setupPerTest,
	start,
	traceIds,
} from '../../../../kit/telemetry/spans.ts';

setupPerTest();

const CONTAINER = 'c0ffee'.padEnd(64, '0');

describe('a span on the wire', () => {
	it('has no client.port if the client has no port', async () => {
		const spans = await start();
		close(spans, { client: { family: 4, text: '203.0.113.9', port: undefined } });
		await spans.shutdown(2000);
		expect(receiver.spans[0]?.attributes).toMatchObject({ 'client.address': '203.0.113.9' });
		expect(receiver.spans[0]?.attributes).not.toHaveProperty(['client.port']);
	});

	it('has every attribute and time, exactly', async () => {
		const spans = await start({ resolveContainer: (owner) => (owner.cgroupId === 99n ? CONTAINER : undefined) });
		close(spans);
		await spans.shutdown(2000);

		expect(receiver.spans).toHaveLength(1);
		const [span] = receiver.spans;
		expect(span).toMatchObject({
			name: 'TCP connection',
			kind: 1,
			status: 0,
			parentSpanId: '',
			scope: { name: 'toascope', version: '1.2.3' },
			startTimeUnixNano: connection.openedNs + OFFSET,
			endTimeUnixNano: 1_003_500_000_003n + OFFSET,
		});
		expect(span).toMatchObject(traceIds.of(connection));
		expect(span?.attributes).toEqual({
			...attributesOnTheWire,
			'container.id': CONTAINER,
			'toascope.sent_bytes': 9_007_199_254_740_991n,
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

	it('leaves out what is not known, and marks an owner that is only the listener', async () => {
		const spans = await start();
		const unseen = { seen: 'unseen', acceptedNs: undefined, rttNs: undefined } as const;
		close(spans, { ...unseen, owner: { by: 'listener', pid: 7, comm: 'node', cgroupId: 0n } });
		close(spans, { ...unseen, owner: undefined, peer: { family: 6, text: '2001:db8::5', port: 9 } });
		await spans.shutdown(2000);

		const [ofListener, ownerless] = receiver.spans;
		expect(ofListener?.attributes).toMatchObject({
			'toascope.owner': 'listener',
			'process.pid': 7n,
			'toascope.accept.seen': 'unseen',
		});
		expect(ofListener?.events).toEqual([]);
		for (const name of ['container.id', 'toascope.rtt_seconds', 'toascope.accept.wait_seconds']) {
			expect(ofListener?.attributes).not.toHaveProperty([name]);
		}
		expect(ownerless?.attributes).toMatchObject({ 'network.type': 'ipv6' });
		for (const name of ['process.pid', 'process.executable.name', 'toascope.owner']) {
			expect(ownerless?.attributes).not.toHaveProperty([name]);
		}
	});

	it('has the error that ended the connection, and the status that backends show as failed', async () => {
		const spans = await start();
		close(spans, { error: 'ECONNRESET' });
		close(spans);
		await spans.shutdown(2000);
		const [failed, orderly] = receiver.spans;
		expect(failed).toMatchObject({ status: 2, attributes: { 'error.type': 'ECONNRESET' } });
		expect(orderly?.status).toBe(0);
		expect(orderly?.attributes).not.toHaveProperty(['error.type']);
	});

	it('has the virtual server, as far as the option named it', async () => {
		const spans = await start();
		const endpoint = { family: 4, text: '203.0.113.5', port: 443 } as const;
		close(spans, { virtualServer: { endpoint, vni: 77 } });
		close(spans, { virtualServer: { endpoint: { ...endpoint, port: undefined }, vni: undefined } });
		await spans.shutdown(2000);
		const servers = receiver.spans.map(({ attributes }) =>
			Object.fromEntries(Object.entries(attributes).filter(([name]) => name.startsWith('toascope.virtual_server'))),
		);
		expect(servers).toEqual([
			{
				'toascope.virtual_server.address': '203.0.113.5',
				'toascope.virtual_server.port': 443n,
				'toascope.virtual_server.vni': 77n,
			},
			{ 'toascope.virtual_server.address': '203.0.113.5' },
		]);
	});

	it('is made only at the close, and only for connections with a client', async () => {
		const spans = await start();
		spans.onEvent({
			type: 'opened',
			connection: { ...connection, state: 'open', closedNs: undefined },
			listener,
			sample: sampled,
		});
		spans.onEvent({
			type: 'accepted',
			connection: { ...connection, state: 'open', closedNs: undefined },
			listener,
			sample: sampled,
		});
		close(spans, { client: undefined, verdict: 'none' });
		close(spans, { verdict: 'conflict' });
		await spans.shutdown(2000);
		expect(receiver.spans.map((span) => span.attributes['toascope.verdict'])).toEqual(['conflict']);
	});

	it('is reported when it is made, with its ids and its end: not if it is not sampled or not queued', async () => {
		const made: unknown[] = [];
		const onSpan = (...span: unknown[]) => void made.push(span);
		vi.stubEnv('OTEL_BSP_MAX_QUEUE_SIZE', '1');
		const spans = await start({ onSpan });
		close(spans);
		close(spans, { cookie: 78n });
		close(spans, { client: undefined, verdict: 'none' });
		const event = { type: 'closed', connection, listener, sample: sampled } as const;
		spans.onEvent({ ...event, sample: undefined });
		expect(made).toEqual([[event, traceIds.of(connection), 1_003_500_000_003n + OFFSET]]);
		await spans.shutdown(2000);
	});

	it('keeps every time exact to the nanosecond', async () => {
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
	});

	it('resolves the container while the process still exists', async () => {
		const asked: string[] = [];
		const spans = await start({ resolveContainer: (owner) => void asked.push(owner.comm) });
		spans.onEvent({
			type: 'accepted',
			connection: { ...connection, state: 'open', closedNs: undefined },
			listener,
			sample: sampled,
		});
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

	it('have defaults: the service is toascope, and the resource has no process attributes', async () => {
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
		['OTEL_TRACES_EXPORTER', 'console'],
	])('%s=%s starts nothing, so that no connection events are needed', async (name, value) => {
		vi.stubEnv(name, value);
		await expect(start()).rejects.toThrow('the environment forbids spans');
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
		const server = await startGrpcReceiver();
		const spans = await start({ protocol: 'grpc', endpoint: server.endpoint });
		close(spans);
		await spans.shutdown(2000);
		server.close();
		expect(spans.stats().exported).toBe(1n);
		const received = server.requests.flatMap(({ body }) => decodeTraceRequest(body));
		expect(received.map((span) => span.attributes['client.address'])).toEqual(['2001:db8:c::1']);
		expect(server.requests[0]?.metadata.get('user-agent')).toEqual([expect.stringMatching(/^toascope\/1\.2\.3 OTel-/)]);
	});
});
