// SPDX-License-Identifier: Apache-2.0
/**
 * The daemon's metrics at an OTLP receiver: the same series as `/metrics`, number by number and start
 * by start, and exactly what the lab made; however the receiver behaves.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { clientTotals, labTotalsByClient, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { createdSamples, distinctLines, linesAtRest } from '../kit/telemetry/at_rest.ts';
import { startGrpcReceiver } from '../kit/telemetry/grpc_receiver.ts';
import type { Sample } from '../kit/telemetry/metrics.ts';
import { decodeMetricsRequest } from '../kit/telemetry/otlp_decode.ts';
import { type Answer, type OtlpReceiver, startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { createdOf, latestSamples } from '../kit/telemetry/otlp_series.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const listener = `${network.server}:${port}`;
const listenPort = 10_001;

let lab: Lab;
let client: LabClient;
let direct: LabClient;
let receiver: OtlpReceiver;
let answer: (request: number) => Answer;

beforeAll(async () => {
	lab = await Lab.open({ routes: [{ listenPort, backendPort: port, profile: 'nat64' }] });
	await lab.echoServer({ port });
	[client, direct] = await Promise.all([lab.client(), lab.client('gateway')]);
});

afterAll(async () => {
	await lab?.close();
});

beforeEach(async () => {
	answer = () => ({ status: 200 });
	receiver = await startOtlpReceiver((request) => answer(request));
	return () => receiver.close();
});

const config = `listeners: {ports: [${port}]}\ntrust: [${network.pool}]`;

/** A daemon that exports its metrics five times a second. */
function start(env: Readonly<Record<string, string>> = {}, more = 'otel: {spans: off}'): Promise<Daemon> {
	return Daemon.start({
		config: `${config}\n${more}`,
		env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_METRIC_EXPORT_INTERVAL: '200', ...env },
	});
}

async function load(from: string, clients: number, count: number): Promise<ConnectionResult[]> {
	const results = await client.run({
		from,
		clients,
		count,
		to: nat64Server,
		port: listenPort,
		send: 300,
		receive: 5000,
	});
	expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
	return results;
}

/** Resolves when an export that began after this call has arrived whole. */
async function nextExport(): Promise<void> {
	await receiver.waitForRequests(receiver.requests.length + 2);
}

describe('the metrics of a daemon', () => {
	it('are those of /metrics, number by number, and what the lab made', async () => {
		await using daemon = await start();
		const results = await load('2001:db8:c::1', 50, 120);
		const straight = await direct.run({ count: 7, to: network.server, port, send: 10, receive: 20 });
		const samples = await metricsAtRest(daemon, listener, results.length + straight.length);
		await nextExport();
		const received = latestSamples(receiver.metrics);
		expect(linesAtRest(received)).toEqual(linesAtRest(samples));

		const totals = clientTotals(received, listener);
		for (const [name, expected] of labTotalsByClient(results)) expect(totals.get(name), name).toEqual(expected);
		expect(totals.get('direct')?.opened).toBe(7n);
		// the name of every metric that the daemon has now, those of its process included
		const names = (all: readonly Sample[]) => [...new Set(all.map(({ name }) => name))].toSorted();
		expect(names(received)).toEqual(names(await daemon.metrics()));
	});

	it('begin when OpenMetrics says that they were created, before their first point', async () => {
		await using daemon = await start();
		await load('2001:db8:c:0:1::1', 5, 10);
		await metricsAtRest(daemon, listener, 10);
		await nextExport();
		await load('2001:db8:c:0:2::1', 5, 10);
		await metricsAtRest(daemon, listener, 20);
		await nextExport();
		expect(distinctLines(createdOf(receiver.metrics))).toEqual(distinctLines(await createdSamples(daemon)));
		for (const { name, type, points } of receiver.metrics) {
			for (const { startTimeUnixNano: began, timeUnixNano: at } of points) {
				if (type !== 'gauge' && began !== 0n) expect(at, name).toBeGreaterThan(began);
			}
		}
	});

	it('are sent once more when it stops, with the connections of its last moments', async () => {
		const daemon = await start({ OTEL_METRIC_EXPORT_INTERVAL: '600000' });
		const results = await load('2001:db8:c:0:3::1', 5, 10);
		expect(await daemon.stop()).toBe(0);
		const totals = clientTotals(latestSamples(receiver.metrics), listener);
		for (const [name, { opened }] of labTotalsByClient(results)) expect(totals.get(name)?.opened, name).toBe(opened);
	});
});

describe('the protocol of the configuration and of the environment', () => {
	it.each([
		['otel.protocol: http/json', { more: 'otel: {spans: off, protocol: http/json}' }],
		['OTEL_EXPORTER_OTLP_PROTOCOL=http/json', { env: { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' } }],
		['OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=http/json', { env: { OTEL_EXPORTER_OTLP_METRICS_PROTOCOL: 'http/json' } }],
	])('%s sends JSON', async (_name, { env, more }: { env?: Record<string, string>; more?: string }) => {
		await using _daemon = await start(env, more);
		await receiver.waitForRequests(1);
		expect(receiver.requests[0]?.headers['content-type']).toBe('application/json');
		expect(JSON.parse(String(receiver.requests[0]?.body))).toHaveProperty('resourceMetrics');
	});

	it.each([
		['otel.protocol: grpc', {}, 'otel: {spans: off, protocol: grpc}'],
		['OTEL_EXPORTER_OTLP_PROTOCOL=grpc', { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }, 'otel: {spans: off}'],
	])('%s sends gRPC', async (_name, env, more) => {
		const server = await startGrpcReceiver();
		try {
			await using daemon = await start({ ...env, OTEL_EXPORTER_OTLP_ENDPOINT: server.endpoint }, more);
			const results = await load('2001:db8:c:0:4::1', 3, 6);
			await metricsAtRest(daemon, listener, results.length);
			const before = server.requests.length;
			while (server.requests.length < before + 2) await new Promise((resolve) => setTimeout(resolve, 50));
			const totals = clientTotals(
				latestSamples(server.requests.flatMap(({ body }) => decodeMetricsRequest(body))),
				listener,
			);
			for (const [name, expected] of labTotalsByClient(results)) expect(totals.get(name), name).toEqual(expected);
		} finally {
			server.close();
		}
	});

	it('and headers, compression and resource are those of the standard variables', async () => {
		await using daemon = await start({
			OTEL_EXPORTER_OTLP_HEADERS: 'x-tenant=blue',
			OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip',
			OTEL_SERVICE_NAME: 'edge',
			OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test',
		});
		await receiver.waitForRequests(1);
		expect(receiver.requests[0]).toMatchObject({
			path: '/v1/metrics',
			headers: {
				'x-tenant': 'blue',
				'content-encoding': 'gzip',
				'user-agent': expect.stringMatching(/^toascope\/\S+ OTel-OTLP-Exporter-JavaScript\//),
			},
		});
		const { resource } = receiver.metrics[0] ?? {};
		expect(resource).toMatchObject({ 'service.name': 'edge', 'deployment.environment.name': 'test' });
		// the same after a restart
		const instance = resource?.['service.instance.id'];
		await daemon.stop();
		const from = receiver.metrics.length;
		await using _again = await start();
		await receiver.waitForRequests(receiver.requests.length + 1);
		expect(receiver.metrics[from]?.resource['service.instance.id']).toBe(instance);
	});

	it.each([
		[{ OTEL_SDK_DISABLED: 'true' }, 'OTEL_SDK_DISABLED=true'],
		[{ OTEL_METRICS_EXPORTER: 'none' }, 'OTEL_METRICS_EXPORTER=none'],
	])('%j switches the metrics off, and the status says so', async (env, by) => {
		await using daemon = await start(env as unknown as Record<string, string>);
		expect(await daemon.logged(/^telemetry is not sent/)).toMatchObject({ signal: 'metrics', by });
		expect(await daemon.json('/v1/status')).toMatchObject({ otlp: [], otlp_off: { metrics: by } });
		expect(receiver.requests).toEqual([]);
	});

	it.each([
		[
			{ OTEL_EXPORTER_OTLP_PROTOCOL: 'gprc' },
			'OTEL_EXPORTER_OTLP_PROTOCOL: must be grpc, http/protobuf, http/json (found: gprc)',
		],
		[{ OTEL_CONFIG_FILE: '/etc/otel.yaml' }, 'OTEL_CONFIG_FILE: is not supported'],
	])('%j prevents the start', async (env, message) => {
		const all = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, ...env } as unknown as Record<string, string>;
		const { code, err } = await toascope(['run', '--config', '/dev/null'], { env: all });
		expect(err).toContain(message);
		expect(code).toBe(2);
	});
});

describe('a receiver that', () => {
	const { signal: _signal, ...timeout } = { signal: '', timeout: scaleTimeout(60_000) };

	it(
		'is away at the start and for some time: the counts are right when it is there, and the log has a line for each change',
		timeout,
		async () => {
			answer = () => ({ status: 500 });
			await using daemon = await start();
			await daemon.logged(/^telemetry is not reaching/);
			const results = await load('2001:db8:c:0:5::1', 10, 40);
			const samples = await metricsAtRest(daemon, listener, results.length);
			expect(await daemon.json('/v1/status')).toMatchObject({
				otlp: [
					{
						signal: 'metrics',
						exported: '0',
						failing: { message: 'the receiver responded with 500 Internal Server Error' },
					},
				],
			});
			answer = () => ({ status: 200 });
			await daemon.logged(/^telemetry is reaching/);
			await nextExport();
			expect(linesAtRest(latestSamples(receiver.metrics))).toEqual(linesAtRest(samples));
			const lines = daemon.log.filter(({ msg }) => msg.startsWith('telemetry is'));
			expect(lines.map(({ msg, signal }) => [msg, signal])).toEqual([
				['telemetry is not reaching the OTLP receiver', 'metrics'],
				['telemetry is reaching the OTLP receiver again', 'metrics'],
			]);
		},
	);

	it('hangs: the daemon counts, answers and stops as usual', timeout, async () => {
		answer = () => 'hang';
		const daemon = await start();
		await receiver.waitForRequests(1);
		const results = await load('2001:db8:c:0:6::1', 5, 10);
		await metricsAtRest(daemon, listener, results.length);
		const began = performance.now();
		expect(await daemon.stop()).toBe(0);
		expect(performance.now() - began).toBeLessThan(scaleTimeout(2500));
	});

	it('rejects points: they are counted, shown, and named by the doctor', timeout, async () => {
		// ExportMetricsServiceResponse { partial_success { rejected_data_points: 2, error_message: "no" } }
		answer = () => ({ status: 200, body: Buffer.from([10, 6, 8, 2, 18, 2, 110, 111]) });
		await using daemon = await start();
		expect(await daemon.logged(/^the OTLP receiver rejected/)).toMatchObject({ rejected: 2, reason: 'no' });
		const samples = await daemon.metrics();
		const rejected = samples.find(({ name }) => name === 'toascope_otlp_rejected_total');
		expect(Number(rejected?.value)).toBeGreaterThanOrEqual(2);
		const { out } = await toascope(['doctor', '--config', daemon.configFile]);
		expect(out).toMatch(/OTLP metrics.*\n?.*rejected \d+ of them/);
	});
});
