// SPDX-License-Identifier: Apache-2.0
/**
 * Measures what each signal costs the daemon: memory and processor time at an even rate of
 * connections, and of an export of many series, beside the OpenTelemetry SDK's own exporter.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { daemonCgroup, startDaemon, untilClosed, untilTracked } from './daemon.ts';
import { Generator } from './generator.ts';
import { residentBytes } from './memory_use.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';

const perSecond = 10_000;
const clients = 1000;
const atMostMb = 120;
const cgroups = { server: 'with', client: 'without' };
const sdkProcess = new URL('sdk_metrics.ts', import.meta.url).pathname;
/** Series of clients: each has as many metrics as toascope has for a client. */
const scales = [1000, 10_000];
const exportMs = 1000;

const signals = {
	none: 'metrics: off, spans: off',
	metrics: 'metrics: on, spans: off',
	spans: 'metrics: off, spans: on',
	records: 'metrics: off, spans: off, logs: on',
	all: 'metrics: on, spans: on, logs: on',
} as const;

type Signals = keyof typeof signals;

/** Accepts every request at once, and discards it. */
async function startReceiver(): Promise<Server & { readonly url: string; requests: number; bytes: number }> {
	const server = createServer((request, response) => {
		request.on('data', (part: Buffer) => {
			receiver.bytes += part.length;
		});
		request.once('end', () => {
			receiver.requests++;
			response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
		});
	}).listen(0, '127.0.0.1');
	await once(server, 'listening');
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	const receiver = Object.assign(server, { url, requests: 0, bytes: 0 });
	return receiver;
}

interface Cost {
	/** The part of a core that the daemon used. */
	readonly share: number;
	/** The most memory of the daemon, read once a second. */
	readonly mb: number;
	readonly rate: number;
	readonly requests: number;
	readonly bytes: number;
}

export async function measureTelemetry(sandbox: Sandbox, plan: Plan): Promise<Part> {
	const seconds = plan.quick ? 5 : 31;
	const costs = {} as Record<Signals, Cost>;
	for (const name of Object.keys(signals) as Signals[]) {
		plan.say(`telemetry: ${name} at ${perSecond} connections/s`);
		costs[name] = await measureAtRate(sandbox, signals[name], seconds);
	}
	const exports: Record<string, Awaited<ReturnType<typeof measureExports>>> = {};
	for (const series of scales) {
		plan.say(`telemetry: exports of ${series} clients`);
		exports[series] = await measureExports(sandbox, series, plan.quick ? 5 : 20);
	}
	plan.say(`telemetry: the SDK's exporter with ${scales[0]} clients`);
	const sdk = await measureSdk(sandbox, scales[0] ?? 0, plan.quick ? 5 : 20);
	return { figures: { costs, exports, sdk }, rows: [...costRows(costs), ...exportRows(exports, sdk)] };
}

async function measureAtRate(sandbox: Sandbox, otel: string, seconds: number): Promise<Cost> {
	const receiver = await startReceiver();
	try {
		const config = `otel: {endpoint: "${receiver.url}", ${otel}}`;
		await using daemon = await startDaemon(sandbox, cgroups.server, config);
		await using generator = await Generator.start(sandbox, clients);
		await generator.run(cgroups, { seconds: 2, perSecond });
		const pid = daemon.child.pid ?? Number.NaN;
		let most = 0;
		const watch = setInterval(() => {
			most = Math.max(most, residentBytes(pid));
		}, 1000);
		const before = sandbox.cpuSeconds(daemonCgroup);
		const run = await generator.run(cgroups, { seconds, perSecond });
		const used = sandbox.cpuSeconds(daemonCgroup) - before;
		clearInterval(watch);
		return {
			share: used / run.seconds,
			mb: most / 1e6,
			rate: run.connections / run.seconds,
			requests: receiver.requests,
			bytes: receiver.bytes,
		};
	} finally {
		receiver.closeAllConnections();
		receiver.close();
	}
}

function costRows(costs: Readonly<Record<Signals, Cost>>): Row[] {
	return (Object.keys(costs) as Signals[]).map((name) => {
		const { share, mb, rate, requests, bytes } = costs[name];
		return {
			name: `telemetry_${name}`,
			what: `daemon memory at ${perSecond} connections/s, OTLP: ${name}`,
			value: `${mb.toFixed(0)} MB`,
			aim: `at most ${atMostMb} MB`,
			verdict: mb <= atMostMb ? 'met' : 'falls short',
			note: `${(share * 100).toFixed(1)} % of a core, ${rate.toFixed(0)} connections/s, ${requests} requests of ${(bytes / 1e6).toFixed(1)} MB`,
		} satisfies Row;
	});
}

/** The processor time of an export: of a daemon that exports once a second, less one that does not. */
async function measureExports(sandbox: Sandbox, series: number, seconds: number) {
	const receiver = await startReceiver();
	const measure = async (otel: string) => {
		const config = [
			`clients: {max_exported: ${series}, idle: 1 h}`,
			`otel: {endpoint: "${receiver.url}", ${otel}}`,
		].join('\n');
		const env = { OTEL_METRIC_EXPORT_INTERVAL: `${exportMs}` };
		await using daemon = await startDaemon(sandbox, cgroups.server, config, undefined, env);
		await using generator = await Generator.start(sandbox, series);
		await generator.run(cgroups, { seconds: 120, connections: series });
		await untilClosed(sandbox, daemon, series);
		await untilTracked(sandbox, daemon, series);
		// the first export of a client encodes what later ones reuse
		await setTimeout(3 * exportMs, undefined, { signal: sandbox.signal });
		const read = async () => {
			const samples = await daemon.metrics();
			const value = (name: string, task?: string) =>
				Number(samples.find((one) => one.name === name && one.labels.task === task)?.value ?? 0);
			return {
				used: sandbox.cpuSeconds(daemonCgroup),
				points: value('toascope_data_points_exported_total'),
				exports: value('toascope_task_duration_seconds_count', 'otlp_metrics'),
			};
		};
		const before = await read();
		await setTimeout(seconds * 1000, undefined, { signal: sandbox.signal });
		const after = await read();
		return {
			used: after.used - before.used,
			points: after.points - before.points,
			exports: after.exports - before.exports,
			mb: residentBytes(daemon.child.pid ?? Number.NaN) / 1e6,
		};
	};
	try {
		const off = await measure('metrics: off, spans: off');
		const on = await measure('metrics: on, spans: off');
		const msPerExport = ((on.used - off.used) * 1000) / on.exports;
		return { msPerExport, mb: on.mb, mbOff: off.mb, points: on.points / on.exports };
	} finally {
		receiver.closeAllConnections();
		receiver.close();
	}
}

/** The same series, made and exported by the SDK in a process of its own. */
async function measureSdk(sandbox: Sandbox, series: number, seconds: number) {
	const receiver = await startReceiver();
	const child = spawn(process.execPath, [sdkProcess, receiver.url, String(series), String(seconds)], {
		stdio: ['ignore', 'pipe', 'inherit'],
		signal: sandbox.signal,
	});
	try {
		let output = '';
		child.stdout.on('data', (part: Buffer) => {
			output += part;
		});
		await once(child, 'close');
		return JSON.parse(output) as { readonly msPerExport: number; readonly mb: number; readonly points: number };
	} finally {
		receiver.closeAllConnections();
		receiver.close();
	}
}

function exportRows(
	exports: Readonly<Record<string, Awaited<ReturnType<typeof measureExports>>>>,
	sdk: Awaited<ReturnType<typeof measureSdk>>,
): Row[] {
	const beside = (series: string) =>
		series === String(scales[0])
			? `; the SDK's own exporter ${sdk.msPerExport.toFixed(1)} ms for ${sdk.points} points, its process ${sdk.mb.toFixed(0)} MB`
			: '';
	return Object.entries(exports).map(([series, { msPerExport, mb, mbOff, points }]) => ({
		name: `telemetry_export_${series}`,
		what: `processor time of an OTLP export of the metrics of ${series} clients`,
		value: `${msPerExport.toFixed(1)} ms`,
		aim: '',
		verdict: 'none',
		note: `${points.toFixed(0)} points, ${((points / msPerExport) * 1000).toFixed(0)} per second of a core; the daemon has ${mb.toFixed(0)} MB, without OTLP ${mbOff.toFixed(0)} MB${beside(series)}`,
	}));
}
