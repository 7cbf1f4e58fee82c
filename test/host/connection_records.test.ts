// SPDX-License-Identifier: Apache-2.0
/** A record of each TOA connection, as the receiver decodes it, compared with what the lab made. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { StatusJson } from '../../daemon/api/status.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { toascope } from '../kit/daemon/command.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { EchoRecords } from '../kit/daemon/echo_records.ts';
import { metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { lookUpAll } from '../kit/daemon/lookup.ts';
import { total } from '../kit/telemetry/metrics.ts';
import type { ReceivedRecord } from '../kit/telemetry/otlp_decode.ts';
import { type Answer, type OtlpReceiver, startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const listenPort = 10_001;

let lab: Lab;
let client: LabClient;
let direct: LabClient;
let receiver: OtlpReceiver;
let answer: (request: number) => Answer;
const echoed = new EchoRecords();

beforeAll(async () => {
	lab = await Lab.open({ routes: [{ listenPort, backendPort: port, profile: 'nat64' }] });
	await lab.echoServer({ port, onRecords: echoed.onRecords });
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

/** A daemon that sends records; by default only these. */
function start(otel = ', spans: off', env: Readonly<Record<string, string>> = {}): Promise<Daemon> {
	return Daemon.start({
		config: `listeners: {ports: [${port}]}\ntrust: [${network.pool}]\notel: {logs: on, metrics: off${otel}}`,
		env: { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BLRP_SCHEDULE_DELAY: '100', ...env },
	});
}

const load = (from: string, more: object = {}) =>
	client.run({
		from,
		clients: 20,
		count: 300,
		to: nat64Server,
		port: listenPort,
		send: 300,
		receive: 5000,
		...more,
	});

const endpointOf = ({ attributes }: ReceivedRecord) => `${attributes['client.address']} ${attributes['client.port']}`;
const endpointsOf = (results: readonly ConnectionResult[]) =>
	results.map(({ client: address, clientPort }) => `${address} ${clientPort}`).toSorted();

describe('a record', () => {
	it('is sent of each TOA connection, exact and with the ids of /v1/connections, and of no direct one', async () => {
		await using daemon = await start();
		const before = BigInt(Date.now()) * 1_000_000n;
		const [results, straight] = await Promise.all([
			load('2001:db8:c::1'),
			direct.run({ count: 30, to: network.server, port, send: 300, receive: 5000 }),
		]);
		expect([...results, ...straight].filter(({ error }) => error !== undefined)).toEqual([]);
		await receiver.waitForRecords(results.length, scaleTimeout(20_000));
		const after = BigInt(Date.now()) * 1_000_000n;
		const samples = await metricsAtRest(daemon, `${network.server}:${port}`, results.length + straight.length);
		expect(receiver.records.map(endpointOf).toSorted()).toEqual(endpointsOf(results));

		const seen = await echoed.of(results);
		const byEndpoint = new Map(receiver.records.map((record) => [endpointOf(record), record]));
		const peers = results.map(({ id }) => `${seen.get(id)?.peer}:${seen.get(id)?.peerPort}`);
		const found = await lookUpAll(daemon, peers);
		for (const [index, result] of results.entries()) {
			const record = byEndpoint.get(`${result.client} ${result.clientPort}`);
			const [connection] = found[index] ?? [];
			expect(record).toMatchObject({
				eventName: 'toascope.connection',
				traceId: connection?.trace_id,
				spanId: connection?.span_id,
				attributes: {
					'network.peer.address': seen.get(result.id)?.peer,
					'network.peer.port': BigInt(seen.get(result.id)?.peerPort ?? 0),
					'server.address': network.server,
					'server.port': BigInt(port),
					'toascope.received_bytes': BigInt(result.sent),
					'toascope.sent_bytes': BigInt(result.received),
					'toascope.state': 'closed',
				},
			});
			const opened = record?.attributes['toascope.opened_unix_nano'] as bigint;
			expect(opened).toBeGreaterThanOrEqual(before - 10_000_000n);
			expect(record?.timeUnixNano).toBeGreaterThanOrEqual(opened);
			expect(record?.timeUnixNano).toBeLessThanOrEqual(after + 10_000_000n);
		}
		expect(total(samples, 'toascope_drops_total')).toBe(0n);
		expect(total(samples, 'toascope_log_records_exported_total')).toBe(BigInt(results.length));
		const { otlp } = await daemon.json<StatusJson>('/v1/status');
		expect(otlp).toMatchObject([{ signal: 'logs', exported: String(results.length), failing: null }]);
		expect(daemon.log.filter(({ msg }) => msg === 'sending telemetry over OTLP')).toMatchObject([
			{ signal: 'logs', url: `${receiver.endpoint}/v1/logs` },
		]);
		const { out } = await toascope(['doctor', '--json', '--config', daemon.configFile]);
		const { checks } = JSON.parse(out) as { checks: { name: string; state: string }[] };
		expect(checks.find(({ name }) => name === 'otlp.logs')).toMatchObject({ state: 'ok' });
	});

	it('of a connection that is open is sent after each span_interval, with what it has done so far', {
		timeout: scaleTimeout(90_000),
	}, async () => {
		await using daemon = await start(', spans: off, span_interval: 10 s');
		const [held] = await load('2001:db8:c:0:1::1', { clients: 1, count: 1, hold: true });
		const short = await load('2001:db8:c:0:2::1', { clients: 5, count: 10 });
		// one of each short connection, and two of the one that is held
		await receiver.waitForRecords(short.length + 2, scaleTimeout(60_000));
		await client.release();
		await receiver.waitForRecords(short.length + 3, scaleTimeout(20_000));
		const records = receiver.records.filter((record) => endpointOf(record) === `${held?.client} ${held?.clientPort}`);
		expect(records.map(({ attributes }) => attributes['toascope.state'])).toEqual(['open', 'open', 'closed']);
		for (const { attributes } of records) {
			expect(attributes).toMatchObject({ 'toascope.received_bytes': 300n, 'toascope.sent_bytes': 5000n });
		}
		expect(new Set(records.map(({ traceId, spanId }) => `${traceId} ${spanId}`)).size).toBe(1);
		const ages = records.map(
			({ timeUnixNano, attributes }) =>
				Number(timeUnixNano - (attributes['toascope.opened_unix_nano'] as bigint)) / 1e9,
		);
		expect(ages[0]).toBeGreaterThanOrEqual(10);
		expect(ages[0]).toBeLessThan(20);
		expect(ages[1]).toBeGreaterThanOrEqual(20);
		expect(receiver.records).toHaveLength(short.length + 3);
		expect(total(await daemon.metrics(), 'toascope_task_failures_total', { task: 'open_records' })).toBe(0n);
	});

	it('is sent of each connection, whichever are sampled, and says which have a span', async () => {
		await using _daemon = await start(', sampling: {ratio: 0.5}', { OTEL_BSP_SCHEDULE_DELAY: '100' });
		const results = await load('2001:db8:c:0:5::1');
		await receiver.waitForRecords(results.length, scaleTimeout(20_000));
		const sampled = receiver.records.filter(({ flags }) => flags === 1).map(({ spanId }) => spanId);
		const spans = await receiver.waitForSpans(sampled.length, scaleTimeout(20_000));
		expect(receiver.records.map(endpointOf).toSorted()).toEqual(endpointsOf(results));
		expect(spans.map(({ spanId }) => spanId).toSorted()).toEqual(sampled.toSorted());
		// half of them, give or take seven standard deviations
		expect(sampled.length).toBeGreaterThan(90);
		expect(sampled.length).toBeLessThan(210);
	});

	it('of a connection that closes while the daemon stops is still sent', async () => {
		await using daemon = await start(undefined, { OTEL_BLRP_SCHEDULE_DELAY: '60000' });
		const results = await load('2001:db8:c:0:3::1', { clients: 5, count: 5 });
		expect(await daemon.stop()).toBe(0);
		expect(receiver.records.map(endpointOf).toSorted()).toEqual(endpointsOf(results));
	});
});

describe('a receiver', () => {
	it('that never answers: the queue is bounded, drops are counted, and a stop ends in time', async () => {
		answer = () => 'hang';
		await using daemon = await start(undefined, { OTEL_BLRP_MAX_QUEUE_SIZE: '50' });
		const results = await load('2001:db8:c:0:4::1');
		const full = BigInt(results.length - 50);
		await daemon.until((samples) =>
			total(samples, 'toascope_drops_total', { reason: 'log_queue_full' }) === full ? true : undefined,
		);
		const began = performance.now();
		expect(await daemon.stop()).toBe(0);
		expect(performance.now() - began).toBeLessThan(scaleTimeout(3000));
		expect(daemon.log.find(({ msg }) => msg === 'connection records were lost while stopping')).toMatchObject({
			records: 50,
		});
	});

	it.each([
		[{ OTEL_LOGS_EXPORTER: 'none' }, 'OTEL_LOGS_EXPORTER=none'],
		[{ OTEL_SDK_DISABLED: 'true' }, 'OTEL_SDK_DISABLED=true'],
	])('is not used with %j', async (env, by) => {
		await using daemon = await start(undefined, env);
		expect(await daemon.logged(/^telemetry is not sent/)).toMatchObject({ signal: 'logs', by });
		expect(await daemon.json('/v1/status')).toMatchObject({ otlp: [], otlp_off: { logs: by } });
	});
});
