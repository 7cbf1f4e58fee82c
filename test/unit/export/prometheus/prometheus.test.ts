// SPDX-License-Identifier: Apache-2.0
/** The response to a scrape, byte for byte in both formats, and its delivery in chunks. */
import { Counter, Gauge } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { metricTable } from '../../../../daemon/export/metric_table.ts';
import { createPrometheusExporter, type PrometheusExporter } from '../../../../daemon/export/prometheus/exporter.ts';
import type { Format } from '../../../../daemon/export/prometheus/text.ts';
import { createMetrics } from '../../../../daemon/export/registry.ts';
import type { Snapshot } from '../../../../daemon/model/snapshot.ts';
import { noTraffic } from '../../../../daemon/model/traffic.ts';
import { clients, listenerTotals, snapshot, tableOf } from '../../../kit/model/snapshot.ts';
import { fixtureExporter } from '../../../kit/model/view.ts';

async function text(exporter: PrometheusExporter, format: Format = 'prometheus'): Promise<string> {
	let all = '';
	for await (const chunk of exporter.render(format)) all += chunk;
	return all;
}

/** Name of each family, in order. */
const families = (exposition: string): string[] =>
	[...exposition.matchAll(/^# TYPE (\S+)/gm)].map(([, name = '']) => name);

const began = { startedNs: 1_760_000_000_000_000_000n, countersSinceNs: undefined };

/** Counters of the module provider. */
const moduleEvents = { verdict_toa: 2n, connections: 1n };
const programs = [
	{ program: 'toa_sockops', runs: 9_007_199_254_740_993n, runNs: 1_234_567_891n },
	{ program: 'toa_accept', runs: 0n, runNs: 0n, misses: 9_007_199_254_740_993n },
];

function manyClients(count: number): Snapshot {
	const traffic = { ...noTraffic, opened: 9_007_199_254_740_993n, rttSumNs: 1n };
	const client = (_: unknown, index: number) => ({
		client: `2001:db8::${index.toString(16)}`,
		listener: '192.0.2.10:443',
		sinceNs: 0n,
		traffic,
		active: 1,
	});
	return { ...snapshot, clients: tableOf(Array.from({ length: count }, client)) };
}

describe('the whole response', () => {
	it('in the Prometheus text format', async () => {
		await expect(await text(fixtureExporter())).toMatchFileSnapshot('../../../kit/model/metrics.prometheus.txt');
	});

	it('in OpenMetrics', async () => {
		await expect(await text(fixtureExporter(), 'openmetrics')).toMatchFileSnapshot(
			'../../../kit/model/metrics.openmetrics.txt',
		);
	});

	it('has the same sample lines in both formats except for _created and exemplars, even after a change of format', async () => {
		const exporter = fixtureExporter();
		const samples = (all: string): string[] =>
			all
				.split('\n')
				.filter((line) => !line.startsWith('#') && !/^\w+_created[{ ]/.test(line))
				.map((line) => line.replace(/ # \{.*/, ''));
		const first = samples(await text(exporter));
		expect(samples(await text(exporter, 'openmetrics'))).toEqual(first);
		expect(samples(await text(exporter))).toEqual(first);
	});

	it('has _created in OpenMetrics for each series whose start is known, directly after its last sample', async () => {
		const exporter = fixtureExporter(() => ({ ...snapshot, programs, moduleEvents }));
		exporter.http.countResponse('/metrics', '200');
		const lines = (await text(exporter, 'openmetrics')).split('\n');
		// the kernel's counters of programs and of the module say nothing about their start
		const unknown = /^toascope_(bpf_program|module)_/;
		const known = metricTable.filter(({ name, type }) => type !== 'gauge' && !unknown.test(name));
		for (const { name } of known) {
			const base = name.replace(/_total$/, '');
			const at = lines.findIndex((line) => new RegExp(`^${base}_created[{ ]`).test(line));
			expect(lines[at], name).toMatch(/ 1760000000(\.000000001)?$/);
			const labels = /\{.*\}/.exec(lines[at] ?? '')?.[0] ?? '';
			expect(lines[at - 1], name).toMatch(new RegExp(`^${base}(_total|_count)[{ ]`));
			expect(lines[at - 1], name).toContain(labels);
		}
		const families = new Set(known.map(({ name }) => `${name.replace(/_total$/, '')}_created`));
		const created = lines.filter((line) => /^\w+_created[{ ]/.test(line)).map((line) => /^\w+/.exec(line)?.[0]);
		expect(new Set(created)).toEqual(families);
	});

	it('has no _created for series whose start was not recorded, nor where it is not wanted', async () => {
		const older = [...clients].map((one) => ({ ...one, sinceUnknown: true }));
		const unknown = { ...snapshot, clients: tableOf(older), listeners: [{ ...listenerTotals, sinceNs: undefined }] };
		const all = await text(
			fixtureExporter(() => unknown),
			'openmetrics',
		);
		expect(all.match(/^\w+_created\{.*listener=.*/gm)).toBeNull();
		let unwanted = '';
		for await (const chunk of fixtureExporter().render('openmetrics', false)) unwanted += chunk;
		expect(unwanted).not.toContain('_created');
		expect(await text(fixtureExporter())).not.toContain('_created');
	});

	it('shows every metric of the table, and each family once', async () => {
		const exporter = fixtureExporter(() => ({ ...snapshot, programs, moduleEvents }));
		exporter.http.countResponse('/metrics', '200');
		const shown = families(await text(exporter));
		expect(shown.toSorted()).toEqual(metricTable.map(({ name }) => name).toSorted());
	});

	it('has exact statistics of the programs while the kernel counts them', async () => {
		const all = await text(fixtureExporter(() => ({ ...snapshot, programs, moduleEvents })));
		expect(all).toContain('toascope_bpf_program_runs_total{program="toa_sockops"} 9007199254740993\n');
		expect(all).toContain('toascope_bpf_program_run_seconds_total{program="toa_sockops"} 1.234567891\n');
		const idle = programs.map((usage) => ({ ...usage, runs: 0n, runNs: 0n }));
		const shown = await text(fixtureExporter(() => ({ ...snapshot, programs: idle })));
		expect(shown.match(/^toascope_bpf_program_.*/gm)).toEqual([
			'toascope_bpf_program_misses_total{program="toa_accept"} 9007199254740993',
		]);
	});

	it("has only the daemon's own metrics before the first snapshot", async () => {
		const attachments = ['toascope_program_attached', 'toascope_attachments_lost_total'];
		const own = [
			'toascope_build_info',
			'toascope_provider_info',
			...attachments,
			'toascope_config_last_reload_successful',
		];
		const shown = families(await text(fixtureExporter(() => undefined)));
		const telemetry = metricTable.flatMap(({ name }) => (/_exported_total$|_otlp_|_span_/.test(name) ? [name] : []));
		const more = [
			'toascope_config_last_reload_success_timestamp_seconds',
			'toascope_http_listen_failures_total',
			'toascope_http_limited_total',
			'toascope_connection_retained_seconds',
		];
		const tasks = ['toascope_task_failures_total', 'toascope_task_duration_seconds', 'toascope_log_lines_lost_total'];
		expect(shown.toSorted()).toEqual([...own, ...more, ...tasks, ...telemetry].toSorted());
	});

	it('shows the labels that the table names', async () => {
		const exporter = fixtureExporter(() => ({ ...snapshot, programs, moduleEvents }));
		exporter.http.countResponse('/metrics', '200');
		const all = await text(exporter);
		for (const { name, labels } of metricTable) {
			const line = all.split('\n').find((one) => new RegExp(`^${name}(_bucket|_sum)?[ {]`).test(one));
			const names = [...(line ?? '').matchAll(/[{,](\w+)="/g)].map(([, label]) => label).filter((one) => one !== 'le');
			expect(names, name).toEqual(labels);
		}
	});
});

/** A daemon about which there is nothing to say. */
const state = {
	build: { version: '0', node: '0', libbpf: '0' },
	provider: () => undefined,
	configReload: () => ({ successful: false, successAtMs: 0 }),
	listenFailures: () => ({ listen: 2n, socket: 0n }),
	tasks: () => [],
	logLinesDropped: () => 0,
	attachments: () => ({ programs: [], lost: {} }),
	spanRatio: () => undefined,
	retainedNs: () => undefined,
	otlp: () => [],
};

describe('the registry', () => {
	it('accepts metrics of other components', async () => {
		const exporter = fixtureExporter(() => undefined);
		new Counter({ name: 'toascope_more_total', help: 'more', registers: [exporter.registry] }).inc(3);
		expect(await text(exporter)).toContain('# TYPE toascope_more_total counter\ntoascope_more_total 3\n');
		const openmetrics = await text(exporter, 'openmetrics');
		expect(openmetrics).toContain('# TYPE toascope_more counter\n# HELP toascope_more more\ntoascope_more_total 3\n');
	});

	it('has the default metrics of the process, but none that a linter objects to', async () => {
		const onError = (error: unknown): never => expect.unreachable(String(error));
		const exporter = createPrometheusExporter({
			metrics: createMetrics({ latest: () => undefined, state, ...began }),
			onError,
		});
		const all = await text(exporter);
		expect(all).toMatch(/^process_cpu_seconds_total [0-9.]+$/m);
		expect(all).toMatch(/^nodejs_heap_size_used_bytes \d+$/m);
		expect(all).not.toMatch(/^# TYPE \S+_total gauge$/m);
		expect(all).not.toMatch(/^# TYPE \S+_(summary|histogram) /m);
		expect(families(all)).not.toContain('toascope_provider_info');
	});

	it('leaves out a metric that cannot be read, and still answers the scrape', async () => {
		const failed: string[] = [];
		const metrics = createMetrics({
			latest: () => snapshot,
			state,
			processMetrics: false,
			...began,
		});
		const exporter = createPrometheusExporter({ metrics, onError: (_error, metric) => failed.push(metric) });
		new Gauge({
			name: 'toascope_broken',
			help: 'broken',
			registers: [exporter.registry],
			collect() {
				throw new Error('broken');
			},
		});
		const all = await text(exporter);
		expect(failed).toEqual(['toascope_broken']);
		expect(all).not.toContain('toascope_broken');
		expect(all).toContain('toascope_client_connections_active{client="direct",listener="192.0.2.10:443"} 1\n');
	});
});

describe('chunks', () => {
	it('are small, and add up to contiguous families', async () => {
		const sizes: number[] = [];
		let all = '';
		for await (const chunk of fixtureExporter(() => manyClients(3000)).render('openmetrics')) {
			sizes.push(Buffer.byteLength(chunk));
			all += chunk;
		}
		expect(sizes.length).toBeGreaterThan(10);
		expect(Math.max(...sizes)).toBeLessThanOrEqual(256 * 1024);
		expect(families(all).length).toBe(new Set(families(all)).size);
		expect(all.match(/^toascope_client_connections_opened_total\{.*\} 9007199254740993$/gm)).toHaveLength(3000);
		expect(all.endsWith('\n# EOF\n')).toBe(true);
	});

	it('let the event loop run between them', async () => {
		let iterations = 0;
		let done = false;
		const tick = (): void => {
			iterations++;
			if (!done) setImmediate(tick);
		};
		setImmediate(tick);
		await text(fixtureExporter(() => manyClients(20_000)));
		done = true;
		expect(iterations).toBeGreaterThan(2);
	});

	it('come from one snapshot, even if a new one is taken in between', async () => {
		let latest = manyClients(3000);
		const render = fixtureExporter(() => latest).render('prometheus');
		let all = String((await render.next()).value);
		const total = { ...listenerTotals.total, sentBytes: 43n };
		latest = { ...latest, clients: tableOf([]), clientsTracked: 99, listeners: [{ ...listenerTotals, total }] };
		for await (const chunk of render) all += chunk;
		expect(all).toContain('toascope_clients_tracked 12\n');
		expect(all.match(/^toascope_client_connection_duration_seconds_count/gm)).toHaveLength(3000);
	});
});
