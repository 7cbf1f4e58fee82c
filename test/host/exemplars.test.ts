// SPDX-License-Identifier: Apache-2.0
/**
 * Exemplars of the histograms, in OpenMetrics, over OTLP and in a real Prometheus: each is a span
 * that the receiver has, in the bucket that has counted its connection.
 */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { isReadyLine, untilReady } from '../../daemon/lab/process.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { buildPrometheus } from '../kit/telemetry/go_programs.ts';
import { parseMetrics, type Sample } from '../kit/telemetry/metrics.ts';
import type { ReceivedPoint, ReceivedSpan } from '../kit/telemetry/otlp_decode.ts';
import { type OtlpReceiver, startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { hasPrometheus, Prometheus } from '../kit/telemetry/prometheus.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const hasPython = spawnSync('python3', ['--version']).error === undefined;
const pythonServer = new URL('../kit/apps/python_server.py', import.meta.url).pathname;
const port = somePorts(1);
const listener = `${network.server}:${port}`;
const listenPort = 10_001;
const count = 80;

const prometheus3 = hasPython ? await buildPrometheus() : undefined;

let lab: Lab;
let client: LabClient;
let direct: LabClient;
let receiver: OtlpReceiver;

beforeAll(async () => {
	if (!hasPython) return;
	lab = await Lab.open({ routes: [{ listenPort, backendPort: port, profile: 'nat64' }] });
	// it asks for the peer with accept(), which is observed on every kernel
	const server = lab.spawn('server', 'python3', [pythonServer, String(port)], { stdio: 'pipe' });
	await untilReady(server, 'python server', isReadyLine);
	[client, direct] = await Promise.all([lab.client(), lab.client('gateway')]);
});

afterAll(async () => {
	await lab?.close();
});

beforeEach(async () => {
	receiver = await startOtlpReceiver();
	return () => receiver.close();
});

function start(env: Readonly<Record<string, string>> = {}, more = ''): Promise<Daemon> {
	return Daemon.start({
		config: `listeners: {ports: [${port}]}\ntrust: [${network.pool}]\n${more}`,
		env: {
			OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
			OTEL_METRIC_EXPORT_INTERVAL: '200',
			OTEL_BSP_SCHEDULE_DELAY: '100',
			...env,
		},
	});
}

/** Connections with TOA, and direct ones, which have no span. */
async function load(): Promise<void> {
	const results = await Promise.all([
		client.run({ from: '2001:db8:c::1', clients: 20, count, to: nat64Server, port: listenPort, text: 'who am I?' }),
		direct.run({ count: 10, to: network.server, port, text: 'who am I?' }),
	]);
	expect(results.flat().filter(({ error }) => error !== undefined)).toEqual([]);
}

/** Resolves when the counters have all connections, and so the exemplars are those of the last ones. */
async function atRest(daemon: Daemon): Promise<void> {
	await metricsAtRest(daemon, listener, count + 10);
}

/** A scrape as OpenMetrics. */
async function scrape(daemon: Daemon): Promise<readonly Sample[]> {
	const headers = { accept: 'application/openmetrics-text; version=1.0.0' };
	return parseMetrics(await (await fetch(`${daemon.url}/metrics`, { headers })).text());
}

/** What a span says of its connection, in seconds. */
const valuesOf: Readonly<Record<string, (span: ReceivedSpan) => unknown>> = {
	toascope_rtt_seconds: ({ attributes }) => attributes['toascope.rtt_seconds'],
	toascope_connection_duration_seconds: (span) => Number(span.endTimeUnixNano - span.startTimeUnixNano) / 1e9,
	toascope_accept_wait_seconds: ({ attributes }) => attributes['toascope.accept.wait_seconds'],
};

interface ShownExemplar {
	readonly metric: string;
	/** Exclusive and inclusive, in seconds. */
	readonly bounds: readonly [number, number];
	readonly traceId: string;
	readonly spanId: string;
	readonly value: number;
	readonly timeNs: bigint;
}

/** The exemplars of a scrape; the count of a bucket that has one is above 0. */
function exemplarsOf(samples: readonly Sample[]): ShownExemplar[] {
	let below = { le: 0, count: 0 };
	return samples.flatMap(({ name, labels, value, exemplar }) => {
		if (!name.endsWith('_bucket') || labels.listener === undefined) {
			below = { le: 0, count: 0 };
			expect(exemplar, name).toBeUndefined();
			return [];
		}
		const [from, to] = [below, { le: Number(labels.le?.replace('+Inf', 'Infinity')), count: Number(value) }];
		below = labels.le === '+Inf' ? { le: 0, count: 0 } : to;
		if (exemplar === undefined) return [];
		expect(labels.listener).toBe(listener);
		expect(to.count, `${name} ${labels.le}`).toBeGreaterThan(from.count);
		const { trace_id: traceId = '', span_id: spanId = '', ...others } = exemplar.labels;
		expect(others).toEqual({});
		const [seconds = '', fraction = ''] = exemplar.time.split('.');
		return {
			metric: name.replace(/_bucket$/, ''),
			bounds: [from.le, to.le] as const,
			traceId,
			spanId,
			value: Number(exemplar.value),
			timeNs: BigInt(seconds + fraction.padEnd(9, '0')),
		};
	});
}

function expectSpans(exemplars: readonly ShownExemplar[]): void {
	const spans = new Map(receiver.spans.map((span) => [span.traceId, span]));
	for (const { metric, bounds, traceId, spanId, value, timeNs } of exemplars) {
		const span = spans.get(traceId);
		expect(span, `${metric} ${traceId}`).toMatchObject({ spanId, endTimeUnixNano: timeNs });
		expect(value, metric).toBe(valuesOf[metric]?.(span as ReceivedSpan));
		expect(value, metric).toBeGreaterThan(bounds[0]);
		expect(value, metric).toBeLessThanOrEqual(bounds[1]);
	}
}

/** The exemplars of the last export, by metric. */
function exported(): ReadonlyMap<string, ReceivedPoint['exemplars']> {
	const names = new Map([
		['toascope.rtt', 'toascope_rtt_seconds'],
		['toascope.connection.duration', 'toascope_connection_duration_seconds'],
		['toascope.accept.wait', 'toascope_accept_wait_seconds'],
	]);
	return new Map(
		receiver.metrics.flatMap(({ name, points }) => {
			const point = points.find(({ attributes }) => attributes['server.port'] === BigInt(port));
			const metric = names.get(name);
			return metric === undefined || point === undefined ? [] : [[metric, point.exemplars ?? []]];
		}),
	);
}

describe.skipIf(!hasPython)('exemplars', () => {
	it('are in every bucket of connections with a span, and the same in OpenMetrics and over OTLP', async () => {
		await using daemon = await start();
		await load();
		await receiver.waitForSpans(count);
		await atRest(daemon);
		const samples = await scrape(daemon);
		const exemplars = exemplarsOf(samples);
		expect(new Set(exemplars.map(({ metric }) => metric))).toEqual(new Set(Object.keys(valuesOf)));
		expectSpans(exemplars);
		// at least one for each bucket of a connection with a span, as the spans say
		for (const [metric, read] of Object.entries(valuesOf)) {
			const own = exemplars.filter((one) => one.metric === metric);
			for (const span of receiver.spans) {
				const value = read(span) as number | undefined;
				if (value === undefined) continue;
				expect(
					own.some(({ bounds: [from, to] }) => value > from && value <= to),
					`${metric} ${value}`,
				).toBe(true);
			}
		}
		await receiver.waitForRequests(receiver.requests.length + 2);
		for (const [metric, sent] of exported()) {
			const own = exemplars.filter((one) => one.metric === metric);
			expect(sent, metric).toEqual(
				own.map(({ traceId, spanId, value, timeNs }) => ({ traceId, spanId, value, timeUnixNano: timeNs })),
			);
		}
		expect([...exported().keys()].toSorted()).toEqual(Object.keys(valuesOf).toSorted());
		expect((await daemon.metrics()).filter(({ exemplar }) => exemplar !== undefined)).toEqual([]);
	});

	it('are only of spans that are sampled', async () => {
		await using daemon = await start({ OTEL_TRACES_SAMPLER: 'traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.3' });
		await load();
		await atRest(daemon);
		const exemplars = exemplarsOf(await scrape(daemon));
		expect(exemplars.length).toBeGreaterThan(0);
		// the spans of the exemplars are made, and arrive
		const traces = new Set(exemplars.map(({ traceId }) => traceId));
		while (![...traces].every((traceId) => receiver.spans.some((span) => span.traceId === traceId))) {
			await receiver.waitForSpans(receiver.spans.length + 1);
		}
		expectSpans(exemplars);
	});

	it('are not there without spans', async () => {
		await using daemon = await start({}, 'otel: {spans: off}');
		await load();
		await atRest(daemon);
		expect(exemplarsOf(await scrape(daemon))).toEqual([]);
		await receiver.waitForRequests(receiver.requests.length + 2);
		expect([...exported().values()].flat()).toEqual([]);
	});

	const storage = '--enable-feature=exemplar-storage';

	/** Resolves when Prometheus has these exemplars; it also keeps those that they replaced. */
	async function untilStored(prometheus: Prometheus, shown: readonly ShownExemplar[]): Promise<void> {
		const lineOf = ({ metric, traceId, spanId, value }: Omit<ShownExemplar, 'bounds' | 'timeNs'>) =>
			`${metric} ${traceId} ${spanId} ${value}`;
		const stored = async () => {
			const all = await prometheus.exemplars('{__name__=~"toascope_.*_bucket"}');
			const lines = all.flatMap(({ seriesLabels, exemplars }) =>
				exemplars.map(({ labels, value }) =>
					lineOf({
						metric: seriesLabels['__name__']?.replace(/_bucket$/, '') ?? '',
						traceId: labels['trace_id'] ?? '',
						spanId: labels['span_id'] ?? '',
						value: Number(value),
					}),
				),
			);
			return new Set(lines);
		};
		const isWhole = (lines: ReadonlySet<string>) => shown.every((one) => lines.has(lineOf(one)));
		while (!isWhole(await stored())) await new Promise((resolve) => setTimeout(resolve, 200));
	}

	for (const [name, program] of [
		['of the distribution', hasPrometheus ? 'prometheus' : ''],
		['3', prometheus3 ?? ''],
	] as const) {
		it.skipIf(program === '')(
			`are stored by Prometheus ${name} from a scrape`,
			{ timeout: scaleTimeout(60_000) },
			async () => {
				await using daemon = await start();
				await using prometheus = await Prometheus.start(new URL(daemon.url).host, [program, storage]);
				await load();
				await receiver.waitForSpans(count);
				await atRest(daemon);
				await untilStored(prometheus, exemplarsOf(await scrape(daemon)));
				expect(await prometheus.lastError()).toBe('');
			},
		);
	}

	it.skipIf(prometheus3 === undefined)(
		'are stored by Prometheus 3 from OTLP',
		{ timeout: scaleTimeout(60_000) },
		async () => {
			await using prometheus = await Prometheus.start(undefined, [
				prometheus3 ?? '',
				'--web.enable-otlp-receiver',
				storage,
			]);
			await using daemon = await start({
				OTEL_EXPORTER_OTLP_METRICS_ENDPOINT: `${prometheus.otlpEndpoint}/v1/metrics`,
			});
			await load();
			await receiver.waitForSpans(count);
			await atRest(daemon);
			await untilStored(prometheus, exemplarsOf(await scrape(daemon)));
			expect(daemon.log.filter(({ msg }) => /OTLP receiver/.test(msg))).toEqual([]);
		},
	);
});
