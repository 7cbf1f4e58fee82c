// SPDX-License-Identifier: Apache-2.0
/**
 * A span for each TOA connection, as the receiver decodes it, compared with what the lab knows
 * about the connection.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { LabServer } from '../../daemon/lab/lab_server.ts';
import { isReadyLine, untilReady } from '../../daemon/lab/process.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { parseContainerId } from '../../daemon/model/container.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { EchoRecords } from '../kit/daemon/echo_records.ts';
import { metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { total } from '../kit/telemetry/metrics.ts';
import type { ReceivedSpan } from '../kit/telemetry/otlp_decode.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const hasPython = spawnSync('python3', ['--version']).error === undefined;
const pythonServer = new URL('../kit/apps/python_server.py', import.meta.url).pathname;
const port = somePorts(2);
const pythonPort = port + 1;
const routes = { nat64: 10_001, toa6: 10_002, python: 10_003 };

let lab: Lab;
let server: LabServer;
let client: LabClient;
let direct: LabClient;
let receiver: OtlpReceiver;
let daemon: Daemon;
const echoed = new EchoRecords();

beforeAll(async () => {
	lab = await Lab.open({
		routes: [
			{ listenPort: routes.nat64, backendPort: port, profile: 'nat64' },
			{ listenPort: routes.toa6, backendPort: port, profile: 'toa6', segments: ['data'] },
			{ listenPort: routes.python, backendPort: pythonPort, profile: 'nat64' },
		],
	});
	server = await lab.echoServer({ port, onRecords: echoed.onRecords });
	[client, direct, receiver] = await Promise.all([lab.client(), lab.client('gateway'), startOtlpReceiver()]);
	daemon = await Daemon.start({
		config: `listeners: {ports: [${port}-${pythonPort}]}\ntrust: [${network.pool}]`,
		env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY: '100' },
	});
});

afterAll(async () => {
	await daemon?.stop();
	await receiver?.close();
	await lab?.close();
});

const nowNs = () => BigInt(Date.now()) * 1_000_000n;

/**
 * The received spans of these connections, by the id of the result. Expects no connection to have
 * two.
 */
function spansOf(results: readonly ConnectionResult[]): ReadonlyMap<string, ReceivedSpan> {
	const wanted = new Set(results.map((result) => `${result.client} ${result.clientPort}`));
	const found = new Map<string, ReceivedSpan>();
	for (const span of receiver.spans) {
		const key = `${span.attributes['client.address']} ${span.attributes['client.port']}`;
		if (!wanted.has(key)) continue;
		expect(found.has(key), `a second span of ${key}`).toBe(false);
		found.set(key, span);
	}
	return new Map(
		results.map(
			({ id, client: address, clientPort }) => [id, found.get(`${address} ${clientPort}`)] as [string, ReceivedSpan],
		),
	);
}

/** The name and the container of a process, from /proc. */
function identity(pid: number): { comm: string; containerId: string | undefined } {
	const read = (name: string) => readFileSync(`/proc/${pid}/${name}`, 'latin1');
	return { comm: read('comm').trim(), containerId: parseContainerId(read('cgroup')) };
}

describe('a span', () => {
	it('is sent for each TOA connection, with every attribute as the lab knows it, and for no direct one', async () => {
		const before = nowNs();
		const [onAck, onData, straight] = await Promise.all([
			client.run({
				from: '2001:db8:c::1',
				clients: 100,
				count: 250,
				to: nat64Server,
				port: routes.nat64,
				send: 300,
				receive: 5000,
			}),
			client.run({ from: '2001:db8:c:0:1::1', clients: 20, to: nat64Server, port: routes.toa6, send: 77, receive: 99 }),
			direct.run({ count: 30, to: network.server, port, send: 300, receive: 5000 }),
		]);
		const results = [...onAck, ...onData];
		expect([...results, ...straight].filter(({ error }) => error !== undefined)).toEqual([]);
		await receiver.waitForSpans(results.length, scaleTimeout(20_000));
		const after = nowNs();
		const samples = await metricsAtRest(daemon, `${network.server}:${port}`, results.length + straight.length);

		const [spans, records] = [spansOf(results), await echoed.of(results)];
		const { comm, containerId } = identity(server.pid);
		for (const result of results) {
			const span = spans.get(result.id);
			const record = records.get(result.id);
			const withData = onData.includes(result);
			expect(span?.attributes).toEqual({
				'client.address': result.client,
				'client.port': BigInt(result.clientPort),
				'network.peer.address': record?.peer,
				'network.peer.port': BigInt(record?.peerPort ?? 0),
				'network.local.address': network.server,
				'network.local.port': BigInt(port),
				'server.address': network.server,
				'server.port': BigInt(port),
				'network.transport': 'tcp',
				'network.type': 'ipv4',
				'process.pid': BigInt(server.pid),
				'process.executable.name': comm,
				...(containerId === undefined ? {} : { 'container.id': containerId }),
				'toascope.owner': expect.stringMatching(/^(accept|listener)$/),
				'toascope.verdict': 'toa',
				'toascope.profile': withData ? 'toa6' : 'nat64',
				'toascope.segment': withData ? 'data' : 'ack',
				'toascope.accept.seen': expect.stringMatching(/^(fexit|unseen)$/),
				...(span !== undefined && 'toascope.accept.wait_seconds' in span.attributes
					? { 'toascope.accept.wait_seconds': expect.any(Number) }
					: {}),
				'toascope.received_bytes': BigInt(result.sent),
				'toascope.sent_bytes': BigInt(result.received),
				'toascope.retransmitted_segments': 0n,
				'toascope.rtt_seconds': expect.any(Number),
				'toascope.netns': BigInt(lab.netnsInode('server')),
			});
			if (span === undefined) continue;
			expect(span.name).toBe('TCP connection');
			expect(span).toMatchObject({ kind: 1, status: 0 });
			expect(span.parentSpanId).toBe('');
			expect(span.startTimeUnixNano).toBeGreaterThanOrEqual(before - 10_000_000n);
			expect(span.endTimeUnixNano).toBeGreaterThanOrEqual(span.startTimeUnixNano);
			expect(span.endTimeUnixNano).toBeLessThanOrEqual(after + 10_000_000n);
			expect(span.resource['service.name']).toBe('toascope');
		}
		expect(receiver.spans).toHaveLength(results.length);
		expect(new Set(receiver.spans.map(({ traceId }) => traceId)).size).toBe(results.length);
		expect(total(samples, 'toascope_drops_total')).toBe(0n);
	});

	it.skipIf(!hasPython)('names the process that accepted, and the time of the accept', async () => {
		const python = lab.spawn('server', 'python3', [pythonServer, String(pythonPort)], { stdio: 'pipe' });
		await untilReady(python, 'python server', isReadyLine);
		const already = receiver.spans.length;
		const results = await client.run({
			from: '2001:db8:c:0:2::1',
			clients: 10,
			to: nat64Server,
			port: routes.python,
			text: 'who am I?',
		});
		await receiver.waitForSpans(already + results.length);
		const spans = spansOf(results);
		for (const { id, reply, sent } of results) {
			const span = spans.get(id);
			// with transparent off the application sees the gateway
			const peer = `${span?.attributes['network.peer.address']} ${span?.attributes['network.peer.port']}`;
			expect(reply).toBe(`::ffff:${peer}`);
			expect(span?.attributes).toMatchObject({
				'process.pid': BigInt(python.pid ?? 0),
				'process.executable.name': identity(python.pid ?? 0).comm,
				'toascope.owner': 'accept',
				'toascope.accept.seen': expect.stringMatching(/^(fexit|getpeername)$/),
				'toascope.received_bytes': BigInt(sent),
				'toascope.sent_bytes': BigInt(reply?.length ?? 0),
			});
			if (span === undefined) continue;
			expect(span.events.map(({ name }) => name)).toEqual(['toascope.connection.accepted']);
			const acceptedAt = span.events[0]?.timeUnixNano ?? 0n;
			expect(acceptedAt).toBeGreaterThanOrEqual(span.startTimeUnixNano);
			expect(acceptedAt).toBeLessThanOrEqual(span.endTimeUnixNano);
			const wait = Number(acceptedAt - span.startTimeUnixNano) / 1e9;
			expect(span.attributes['toascope.accept.wait_seconds']).toBeCloseTo(wait, 6);
		}
	});

	it('of a connection that ends while the daemon stops is still sent', async () => {
		const already = receiver.spans.length;
		const results = await client.run({ from: '2001:db8:c:0:3::1', clients: 5, to: nat64Server, port: routes.nat64 });
		const code = await daemon.stop();
		expect(code).toBe(0);
		expect(receiver.spans).toHaveLength(already + results.length);
		expect([...spansOf(results).values()]).not.toContain(undefined);
	});
});

describe('the environment', () => {
	const startWith = (more: Readonly<Record<string, string>>) =>
		Daemon.start({
			config: `listeners: {ports: [${port}]}`,
			env: {
				OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
				OTEL_BSP_SCHEDULE_DELAY: '100',
				OTEL_METRICS_EXPORTER: 'none',
				...more,
			},
		});

	it('selects JSON for the spans', async () => {
		await using _json = await startWith({ OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' });
		const from = receiver.requests.length;
		await client.run({ from: '2001:db8:c::77', to: nat64Server, port: routes.nat64 });
		for (let count = from + 1; ; count++) {
			await receiver.waitForRequests(count);
			const json = receiver.requests.slice(from).find(({ headers }) => headers['content-type'] === 'application/json');
			if (json === undefined) continue;
			expect(String(json.body)).toContain('2001:db8:c::77');
			break;
		}
	});

	it.each([
		[{ OTEL_SDK_DISABLED: 'true' }, 'OTEL_SDK_DISABLED=true', []],
		[
			{ OTEL_TRACES_EXPORTER: 'console' },
			'OTEL_TRACES_EXPORTER=console',
			['must be otlp or none: toascope has no exporter console; no traces are sent'],
		],
	])('switches spans off: %j', async (env, by, problems) => {
		await using off = await startWith(env);
		expect(await off.logged(/^telemetry is not sent/, 0)).toMatchObject({ signal: expect.any(String) });
		const lines = off.log.filter(({ msg, signal }) => msg.startsWith('telemetry is not sent') && signal === 'traces');
		expect(lines).toMatchObject([{ by }]);
		expect(off.log.filter(({ msg }) => msg.startsWith('an OpenTelemetry')).map(({ message }) => message)).toEqual(
			problems,
		);
		expect(await off.json('/v1/status')).toMatchObject({ spans: false });
	});
});
