// SPDX-License-Identifier: Apache-2.0
/** Metrics over OTLP, from the snapshot to what a receiver reads off the wire. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { metricTable } from '../../../../daemon/export/metric_table.ts';
import type { MetricExport } from '../../../../daemon/export/otel/metrics/metric_export.ts';
import { openTelemetry, type TelemetryOptions } from '../../../../daemon/export/otel/telemetry.ts';
import type { ClientSeries, Series } from '../../../../daemon/model/series.ts';
import { SeriesTableBuilder } from '../../../../daemon/model/series_table.ts';
import type { Snapshot } from '../../../../daemon/model/snapshot.ts';
import { addTo, noTraffic } from '../../../../daemon/model/traffic.ts';
import { listenerTotals, snapshot, tableOf } from '../../../kit/model/snapshot.ts';
import { fixtureExporter } from '../../../kit/model/view.ts';
import { startGrpcReceiver } from '../../../kit/telemetry/grpc_receiver.ts';
import { decodeMetricsRequest, type ReceivedMetric, type ReceivedPoint } from '../../../kit/telemetry/otlp_decode.ts';
import { type Answer, type OtlpReceiver, startOtlpReceiver } from '../../../kit/telemetry/otlp_receiver.ts';
import { prometheusName } from '../../../kit/telemetry/otlp_series.ts';
import { scaleTimeout } from '../../../kit/timeouts.ts';

const moduleEvents = { verdict_toa: 2n, connections: 1n };
const programs = [{ program: 'toa_accept', runs: 9_007_199_254_740_993n, runNs: 1_234_567_891n, misses: 3n }];
const whole: Snapshot = { ...snapshot, programs, moduleEvents };
const startNs = 1_760_000_000_000_000_000n;

let answers: Answer[] = [];
let receiver: OtlpReceiver;
let shown: Snapshot = whole;
let logged: string[] = [];
const opened: MetricExport[] = [];

beforeEach(async () => {
	for (const name of Object.keys(process.env)) if (name.startsWith('OTEL_')) vi.stubEnv(name, undefined);
	[answers, shown, logged] = [[], whole, []];
	receiver = await startOtlpReceiver((request) => answers[request] ?? { status: 200 });
});

afterEach(async () => {
	await Promise.all(opened.splice(0).map((one) => one.finish(0)));
	await receiver.close();
	vi.unstubAllEnvs();
});

async function open(config: Partial<TelemetryOptions['config']> = {}) {
	const exporter = fixtureExporter(() => shown);
	exporter.http.countResponse('/metrics', '200');
	const { metrics, health } = await openTelemetry({
		config: {
			endpoint: receiver.endpoint,
			protocol: undefined,
			headersFile: undefined,
			metrics: true,
			spans: false,
			logs: false,
			spanIntervalMs: undefined,
			sampling: { ratio: 1, listeners: 'all', retransmits: undefined, acceptWaitMs: undefined },
			...config,
		},
		setSampleThreshold: () => {},
		metrics: exporter,
		clock: (ns) => ns,
		traceIds: () => ({ traceId: '', spanId: '' }),
		resolveContainer: () => undefined,
		logger: pino({ level: 'info' }, { write: (line: string) => void logged.push(line) }),
		version: '1.2.3',
		instanceId: 'f1d2c3b4-0000-5000-8000-000000000000',
		onMetricError: (error) => {
			throw error;
		},
	});
	if (metrics === undefined) throw new Error('no metrics are sent');
	opened.push(metrics);
	return { metrics, statistics: () => health[0]?.statistics(), status: () => health[0]?.status() };
}

function byName(metrics: readonly ReceivedMetric[], name: string): ReceivedPoint[] {
	return metrics.filter((metric) => metric.name === name).flatMap(({ points }) => points);
}

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
		shown = { ...whole, clients: tableOf(names.map((client) => series({ client }))) };
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

describe('delta', () => {
	const seriesOf = (client: string, sinceNs = startNs): Series => ({ client, listener: '192.0.2.10:443', sinceNs });
	const [a, b, older] = [seriesOf('a'), seriesOf('b'), seriesOf('older', startNs - 1n)];
	let atMs = whole.atMs;

	/** A snapshot, a second later, in which these series have received so many bytes. */
	function show(...received: readonly (readonly [Series, bigint])[]): void {
		const table = new SeriesTableBuilder(received.length);
		for (const [series, bytes] of received) {
			const at = table.add(series);
			addTo(table.words, at, { ...noTraffic, receivedBytes: bytes, rttSumNs: bytes, rttCount: bytes });
		}
		atMs += 1000;
		shown = { ...whole, atMs, clients: table.build() };
	}

	/** The points of the requests since the last call: client, value, and the seconds that it covers. */
	let seen = 0;
	function sent(name = 'toascope.client.received') {
		const points = byName(receiver.metrics.slice(seen), name);
		seen = receiver.metrics.length;
		return points.map(({ attributes, value, startTimeUnixNano, timeUnixNano }) => [
			attributes['client.address'],
			value,
			startTimeUnixNano === startNs ? 'all' : Number(timeUnixNano - startTimeUnixNano) / 1e9,
		]);
	}

	beforeEach(() => {
		vi.stubEnv('OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE', 'delta');
		[atMs, seen] = [whole.atMs, 0];
	});

	it('has what was added since the last export; a series that has not changed has no point', async () => {
		show([a, 5n], [b, 9_007_199_254_740_993n]);
		const { metrics } = await open();
		await metrics.begin(false);
		await metrics.run();
		expect(receiver.metrics.find(({ name }) => name === 'toascope.client.received')?.temporality).toBe('delta');
		expect(sent()).toEqual([
			['a', 5n, 'all'],
			['b', 9_007_199_254_740_993n, 'all'],
		]);
		show([a, 5n], [b, 9_007_199_254_740_995n]);
		await metrics.run();
		expect(sent()).toEqual([['b', 2n, 1]]);
		show([a, 12n], [b, 9_007_199_254_740_995n]);
		await metrics.run();
		expect(sent()).toEqual([['a', 7n, 2]]);
	});

	it('moves on only when the receiver has accepted', async () => {
		show([a, 5n]);
		const { metrics, statistics } = await open();
		await metrics.run();
		expect(sent()).toEqual([['a', 5n, 'all']]);
		answers[receiver.requests.length] = { status: 400 };
		show([a, 6n]);
		expect(await metrics.run()).toBe(false);
		expect(sent()).toEqual([]);
		show([a, 8n]);
		expect(await metrics.run()).toBe(true);
		expect(sent()).toEqual([['a', 3n, 2]]);
		expect(statistics()).toMatchObject({ failedRequests: 1n, rejected: 0n });
	});

	it('has histograms and summaries, too', async () => {
		show([a, 5n]);
		const { metrics } = await open();
		await metrics.run();
		show([a, 8n]);
		shown = { ...shown, listeners: [{ ...listenerTotals, rtt: { ...listenerTotals.rtt, buckets: [2n, 0n, 2n, 9n] } }] };
		seen = receiver.metrics.length;
		await metrics.run();
		const second = receiver.metrics.slice(seen);
		expect(byName(second, 'toascope.client.rtt')).toMatchObject([
			{ count: 3n, value: 3e-9, startTimeUnixNano: (BigInt(atMs) - 1000n) * 1_000_000n },
		]);
		expect(byName(second, 'toascope.rtt')).toMatchObject([{ count: 6n, value: 0, buckets: [1n, 0n, 0n, 5n] }]);
	});

	it('does not send again what an earlier daemon has counted', async () => {
		show([older, 1000n]);
		const { metrics } = await open();
		await metrics.begin(true);
		// the wall clock says nothing about who began a series
		show([a, 6n], [older, 1003n], [seriesOf('b', startNs - 1n), 4n]);
		await metrics.run();
		expect(sent()).toEqual([
			['a', 6n, 'all'],
			['older', 3n, 1],
			['b', 4n, expect.any(Number)],
		]);
	});

	it('counts everything from the start of the first daemon, whatever the wall clock says', async () => {
		const before = seriesOf('before', startNs - 1n);
		show([before, 7n]);
		const { metrics } = await open();
		await metrics.begin(false);
		await metrics.run();
		expect(sent()).toEqual([['before', 7n, expect.any(Number)]]);
	});

	it('begins anew with a series that ended and came back', async () => {
		show([a, 5n], [b, 1n]);
		const { metrics } = await open();
		await metrics.run();
		show([b, 1n]);
		await metrics.run();
		const back = seriesOf('a', startNs + 10_000_000_000n);
		show([back, 7n], [b, 1n]);
		sent();
		await metrics.run();
		expect(sent()).toEqual([['a', 7n, expect.any(Number)]]);
	});

	it('with the preference "lowmemory" is only for histograms and summaries', async () => {
		vi.stubEnv('OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE', 'lowmemory');
		const { metrics } = await open();
		await metrics.run();
		const temporalities = new Map(receiver.metrics.map(({ type, temporality }) => [type, temporality]));
		expect(Object.fromEntries(temporalities)).toEqual({ sum: 'cumulative', histogram: 'delta', gauge: 'unspecified' });
	});
});

describe('a receiver that', () => {
	const lines = () => logged.map((line) => JSON.parse(line) as { msg: string; signal: string }).map(({ msg }) => msg);

	it('fails: it is logged once, the rest of the export is not tried, and the next one has everything', async () => {
		answers = [{ status: 400 }, { status: 403 }];
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

	it('rejects points: they are counted, and the reason is logged once', async () => {
		// ExportMetricsServiceResponse { partial_success { rejected_data_points: 2, error_message: "no" } }
		const partial = { status: 200, body: Buffer.from([10, 6, 8, 2, 18, 2, 110, 111]) };
		answers = [partial, partial];
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
		shown = { ...whole, clients: tableOf(names.map((client) => ({ ...series(client), traffic, active: 0 }))) };
		answers = [{ status: 200 }, { status: 400, body: Buffer.from('out of order sample') }];
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
		answers = ['hang'];
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

	it('is busy: the request is repeated after the Retry-After of the response', async () => {
		answers = [{ status: 429, headers: { 'Retry-After': '0' } }];
		const { metrics, statistics } = await open();
		expect(await metrics.run()).toBe(true);
		expect(receiver.requests).toHaveLength(2);
		expect(statistics()).toMatchObject({ failedRequests: 0n });
	});

	it('hangs: the request ends at its time limit', async () => {
		vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '50');
		answers = ['hang'];
		const { metrics } = await open();
		expect(await metrics.run()).toBe(false);
		expect(await metrics.run()).toBe(true);
	});

	it('over gRPC vanishes without closing its connections: the next request dials again', async () => {
		vi.stubEnv('OTEL_EXPORTER_OTLP_TIMEOUT', '300');
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
				JSON.stringify([status(), logged], (_, value) => (typeof value === 'bigint' ? `${value}` : value)),
			).not.toContain('ken');
		} finally {
			rmSync(directory, { recursive: true });
			server.close();
		}
	});
});
