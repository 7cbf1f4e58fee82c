// SPDX-License-Identifier: Apache-2.0
/**
 * The real OpenTelemetry Collector receives the daemon's metrics, spans and connection records by all
 * three protocols: what it writes is compared with `/metrics`, with `/v1/connections` and with what
 * the lab made.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseTime } from '../../daemon/api/time.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { clientTotals, labTotals, labTotalsByClient, metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { lookUpAll } from '../kit/daemon/lookup.ts';
import { createdSamples, distinctLines, linesAtRest } from '../kit/telemetry/at_rest.ts';
import { receivedOf } from '../kit/telemetry/collected_metrics.ts';
import { type CollectedRecord, type CollectedSpan, Collector } from '../kit/telemetry/collector.ts';
import { buildCollector } from '../kit/telemetry/go_programs.ts';
import type { Sample } from '../kit/telemetry/metrics.ts';
import { createdOf, latestSamples } from '../kit/telemetry/otlp_series.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const port = somePorts(1);
const listener = `${network.server}:${port}`;
const listenPort = 10_001;

const program = (await buildCollector()) ?? '';

describe.skipIf(program === '')('the OpenTelemetry Collector', () => {
	let lab: Lab;
	let client: LabClient;
	let collector: Collector;

	beforeAll(async () => {
		lab = await Lab.open({ routes: [{ listenPort, backendPort: port, profile: 'nat64' }] });
		await lab.echoServer({ port });
		client = await lab.client();
	});

	afterAll(async () => {
		await lab?.close();
	});

	const start = (protocol: string, more: Readonly<Record<string, string>> = {}): Promise<Daemon> =>
		Daemon.start({
			config: `listeners: {ports: [${port}]}\ntrust: [${network.pool}]\notel: {logs: on}`,
			env: {
				OTEL_EXPORTER_OTLP_ENDPOINT: collector.endpoint(protocol),
				OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
				OTEL_METRIC_EXPORT_INTERVAL: '300',
				OTEL_BSP_SCHEDULE_DELAY: '100',
				OTEL_BLRP_SCHEDULE_DELAY: '100',
				...more,
			},
		});

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

	/** The latest value of each series that the Collector has written. */
	const latest = () => latestSamples(collector.metrics().map(receivedOf));

	/** Resolves when the Collector has written what `/metrics` shows at rest; the test's time limit ends it. */
	async function untilWritten(samples: readonly Sample[]): Promise<void> {
		const expected = linesAtRest(samples).join('\n');
		while (linesAtRest(latest()).join('\n') !== expected) await new Promise((resolve) => setTimeout(resolve, 200));
	}

	const textOf = ({ attributes }: CollectedSpan | CollectedRecord, name: string) =>
		Object.values(attributes.find(({ key }) => key === name)?.value ?? {})[0] ?? '';
	const endpointOf = (one: CollectedSpan | CollectedRecord) =>
		`${textOf(one, 'client.address')} ${textOf(one, 'client.port')}`;
	const peerOf = (one: CollectedSpan | CollectedRecord) =>
		`${textOf(one, 'network.peer.address')}:${textOf(one, 'network.peer.port')}`;
	const bytesOf = (one: CollectedSpan | CollectedRecord) => ({
		received_bytes: textOf(one, 'toascope.received_bytes'),
		sent_bytes: textOf(one, 'toascope.sent_bytes'),
	});

	/**
	 * Resolves when there is a span of each of these connections. Expects no second one, and each to
	 * have the bytes that the lab transferred, and the ids, times and bytes of `/v1/connections`.
	 */
	async function untilSpans(daemon: Daemon, results: readonly ConnectionResult[]): Promise<void> {
		while (collector.spans().length < results.length) await new Promise((resolve) => setTimeout(resolve, 200));
		const spans = collector.spans();
		const expected = new Map(
			results.map((one) => {
				const { received, sent } = labTotals([one]);
				return [`${one.client} ${one.clientPort}`, { received_bytes: String(received), sent_bytes: String(sent) }];
			}),
		);
		expect(new Map(spans.map((span) => [endpointOf(span), bytesOf(span)]))).toEqual(expected);
		expect(spans).toHaveLength(expected.size);
		const found = (await lookUpAll(daemon, spans.map(peerOf))).map((connections) => connections[0]);
		for (const [index, span] of spans.entries()) {
			const { opened_at: openedAt = '', closed_at: closedAt, ...one } = found[index] ?? {};
			expect(one).toMatchObject({ trace_id: span.traceId, span_id: span.spanId, ...bytesOf(span) });
			expect(BigInt(span.startTimeUnixNano)).toBe(parseTime(openedAt));
			expect(BigInt(span.endTimeUnixNano)).toBe(parseTime(closedAt ?? ''));
		}
	}

	/**
	 * Resolves when there is a record of each of these connections. Expects no second one, and each
	 * to have the ids and the bytes of `/v1/connections`.
	 */
	async function untilRecords(daemon: Daemon, results: readonly ConnectionResult[]): Promise<void> {
		while (collector.records().length < results.length) await new Promise((resolve) => setTimeout(resolve, 200));
		const records = collector.records();
		expect(records.map(endpointOf).toSorted()).toEqual(
			results.map(({ client: address, clientPort }) => `${address} ${clientPort}`).toSorted(),
		);
		const found = (await lookUpAll(daemon, records.map(peerOf))).map((connections) => connections[0]);
		for (const [index, record] of records.entries()) {
			expect(record.eventName).toBe('toascope.connection');
			expect(found[index]).toMatchObject({
				trace_id: record.traceId,
				span_id: record.spanId,
				...bytesOf(record),
				state: textOf(record, 'toascope.state'),
				client: { address: textOf(record, 'client.address') },
			});
		}
	}

	it.each(['http/protobuf', 'http/json', 'grpc'])(
		'by %s has every number, and a span and a record of each connection',
		{ timeout: scaleTimeout(120_000) },
		async (protocol) => {
			collector = await Collector.start(program);
			await using _collector = collector;
			await using daemon = await start(protocol);
			const results = await load('2001:db8:c::1', 20, 60);
			const ownNs = () => BigInt(Date.now()) * 1_000_000n;
			// one after the other, each between two times of the lab
			const bounds = new Map<string, readonly [bigint, bigint]>();
			for (let made = 0; made < 5; made++) {
				const before = ownNs();
				const [one] = await load('2001:db8:c:0:9::1', 1, 1);
				if (one === undefined) throw new Error('no connection');
				bounds.set(`${one.client} ${one.clientPort}`, [before, ownNs() + 1_000_000n]);
				results.push(one);
			}
			const samples = await metricsAtRest(daemon, listener, results.length);
			await untilWritten(samples);
			const created = createdOf(collector.metrics().map(receivedOf));
			expect(distinctLines(created)).toEqual(distinctLines(await createdSamples(daemon)));
			const totals = clientTotals(latest(), listener);
			for (const [name, expected] of labTotalsByClient(results)) expect(totals.get(name), name).toEqual(expected);
			await untilSpans(daemon, results);
			for (const span of collector.spans()) {
				const [from, to] = bounds.get(endpointOf(span)) ?? [0n, ownNs()];
				expect(BigInt(span.startTimeUnixNano)).toBeGreaterThanOrEqual(from);
				expect(BigInt(span.startTimeUnixNano)).toBeLessThanOrEqual(to);
			}
			const idsOf = ({ traceId, spanId }: { traceId: string; spanId: string }) => `${traceId} ${spanId}`;
			const points = collector.metrics().flatMap(({ histogram }) => histogram?.dataPoints ?? []);
			const exemplars = points.flatMap((point) => point.exemplars ?? []).map(idsOf);
			expect(exemplars.length).toBeGreaterThan(0);
			expect(new Set(collector.spans().map(idsOf)).isSupersetOf(new Set(exemplars))).toBe(true);
			await untilRecords(daemon, results);
			expect(await daemon.json('/v1/status')).toMatchObject({
				otlp: [
					{ signal: 'metrics', rejected: '0', failed_requests: '0', failing: null },
					{ signal: 'traces', exported: String(results.length), rejected: '0', failing: null },
					{ signal: 'logs', exported: String(results.length), rejected: '0', failing: null },
				],
			});
		},
	);

	it.each(['http/protobuf', 'grpc'])(
		'by %s ends and is started again, and hangs: no count, no span and no record is lost',
		{ timeout: scaleTimeout(180_000) },
		async (protocol) => {
			collector = await Collector.start(program);
			await using _collector = collector;
			await using daemon = await start(protocol, { OTEL_EXPORTER_OTLP_TIMEOUT: '1000' });
			const results = await load('2001:db8:c:0:1::1', 10, 20);
			// in an orderly way: what it has accepted it writes
			await collector.signal('SIGTERM');
			results.push(...(await load('2001:db8:c:0:2::1', 10, 20)));
			await daemon.logged(/^telemetry is not reaching/);
			await collector.again();
			await daemon.logged(/^telemetry is reaching/);
			await untilWritten(await metricsAtRest(daemon, listener, results.length));
			const hung = daemon.log.length;
			await collector.signal('SIGSTOP');
			results.push(...(await load('2001:db8:c:0:3::1', 10, 20)));
			await daemon.logged(/^telemetry is not reaching/, hung);
			await collector.signal('SIGCONT');
			await daemon.logged(/^telemetry is reaching/, hung);
			await untilWritten(await metricsAtRest(daemon, listener, results.length));
			// a request that was answered too late is sent again: spans and records can arrive twice
			const endpoints = () => new Set(collector.spans().map(endpointOf));
			const recorded = () => new Set(collector.records().map(endpointOf));
			while (endpoints().size < results.length) await new Promise((resolve) => setTimeout(resolve, 200));
			while (recorded().size < results.length) await new Promise((resolve) => setTimeout(resolve, 200));
			const samples = await daemon.metrics();
			expect(samples.filter(({ name, value }) => name === 'toascope_drops_total' && value !== '0')).toEqual([]);
		},
	);
});
