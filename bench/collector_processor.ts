// SPDX-License-Identifier: Apache-2.0
/**
 * Measures what the processor `toascope` costs an OpenTelemetry Collector: spans a second that pass
 * through the same Collector with and without it, and how much longer requests take at half that
 * load.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { ToascopeError } from '../daemon/errors.ts';
import { Collector } from '../test/kit/telemetry/collector.ts';
import { buildProcessorCollector } from '../test/kit/telemetry/go_programs.ts';
import { outcomesOf, ownTelemetry } from '../test/kit/telemetry/processor_outcomes.ts';
import { daemonCgroup, startDaemon } from './daemon.ts';
import { Holding } from './holding.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { encodeSpans, spansOfRequest } from './span_requests.ts';
import { median, quantile } from './statistics.ts';

const atLeastShare = 0.9;
const addedAtMostMs = 5;
/** Connections that stay open, whose peers the spans name. */
const connections = 4096;
/** Spans of one connection in a request: each its own, and keep-alive connections. */
const spansOfPeer = [1, 16];
/** Different requests, sent in turn. */
const requests = 8;
/** Requests in progress, each on a connection of its own. */
const senders = 4;
/** Two exports of the Collector's own metrics. */
const settleMs = 500;
/** A failed lookup costs nothing, so the rate means something only if there are hardly any. */
const enrichedAtLeast = 0.99;

const collectorCgroup = 'collector';

const arms = ['without', 'with'] as const;
type Arm = (typeof arms)[number];

/** One Collector receives for both arms, so that they share its state. */
const configuration = (socket: string) => `
receivers:
  otlp/with: {protocols: {http: {endpoint: "127.0.0.1:\${env:COLLECTOR_HTTP_PORT}"}}}
  otlp/without: {protocols: {http: {endpoint: "127.0.0.1:\${env:COLLECTOR_GRPC_PORT}"}}}
processors:
  toascope: {endpoint: ${socket}}
exporters:
  nop:
  file/metrics: {path: "\${env:COLLECTOR_FILES}/metrics.json", flush_interval: 100ms, append: true}
service:${ownTelemetry}
  pipelines:
    metrics: {receivers: [otlp/with], exporters: [file/metrics]}
    traces/with: {receivers: [otlp/with], processors: [toascope], exporters: [nop]}
    traces/without: {receivers: [otlp/without], exporters: [nop]}
`;

class Sender {
	readonly #agent = new Agent({ keepAlive: true, maxSockets: senders });
	readonly #urls: Readonly<Record<Arm, string>>;
	readonly #bodies: readonly Uint8Array[];
	#sent = 0;

	constructor(collector: Collector, bodies: readonly Uint8Array[]) {
		this.#urls = { with: collector.endpoint('http'), without: collector.endpoint('grpc') };
		this.#bodies = bodies;
	}

	/** Resolves with the milliseconds that the request took. */
	#send(arm: Arm): Promise<number> {
		const body = this.#bodies[this.#sent++ % this.#bodies.length] as Uint8Array;
		const began = performance.now();
		return new Promise((resolve, reject) => {
			const options = {
				method: 'POST',
				agent: this.#agent,
				headers: { 'content-type': 'application/x-protobuf', 'content-length': body.length },
			};
			request(`${this.#urls[arm]}/v1/traces`, options, (response) => {
				response.resume();
				response.once('end', () => {
					if (response.statusCode === 200) resolve(performance.now() - began);
					else reject(new ToascopeError('LAB_FAILED', `the Collector answered ${response.statusCode}`));
				});
			})
				.once('error', reject)
				.end(body);
		});
	}

	/** Sends as fast as it can. */
	async rate(arm: Arm, seconds: number): Promise<{ readonly spans: number; readonly perSecond: number }> {
		const began = performance.now();
		const end = began + seconds * 1000;
		let done = 0;
		const loop = async () => {
			while (performance.now() < end) {
				await this.#send(arm);
				done++;
			}
		};
		await Promise.all(Array.from({ length: senders }, loop));
		const spans = done * spansOfRequest;
		return { spans, perSecond: (spans * 1000) / (performance.now() - began) };
	}

	/** Sends at an even rate. Resolves with the milliseconds of each request, from when it was due. */
	async latencies(arm: Arm, spansPerSecond: number, seconds: number): Promise<number[]> {
		const everyMs = (1000 * spansOfRequest) / spansPerSecond;
		const began = performance.now();
		const sent: Promise<number>[] = [];
		for (let due = began; due < began + seconds * 1000; due += everyMs) {
			const early = due - performance.now();
			if (early > 0) await pause(early);
			const late = performance.now() - due;
			sent.push(this.#send(arm).then((ms) => ms + Math.max(late, 0)));
		}
		return Promise.all(sent);
	}

	close(): void {
		this.#agent.destroy();
	}
}

interface Measured {
	readonly spansPerPeer: number;
	/** Share of the spans that got their client. */
	readonly enriched: number;
	readonly perSecond: Record<Arm, number>;
	/** Processor time for a span, in microseconds. */
	readonly collectorUs: Record<Arm, number>;
	readonly daemonUs: Record<Arm, number>;
	readonly p50: Record<Arm, number>;
	readonly p99: Record<Arm, number>;
}

/** The counts of the Collector, once they no longer change from one of its exports to the next. */
async function settledOutcomes(collector: Collector): Promise<Map<string, number>> {
	const sumOf = (counts: Map<string, number>) => counts.values().reduce((sum, count) => sum + count, 0);
	for (let last = outcomesOf(collector); ; ) {
		await pause(settleMs);
		const counts = outcomesOf(collector);
		if (sumOf(counts) === sumOf(last)) return counts;
		last = counts;
	}
}

async function measure(
	sandbox: Sandbox,
	plan: Plan,
	collector: Collector,
	peers: readonly string[],
	spansPerPeer: number,
): Promise<Measured> {
	const [rounds, seconds] = plan.quick ? [3, 2] : [7, 5];
	const peersOfRequest = spansOfRequest / spansPerPeer;
	const bodies = Array.from({ length: requests }, (_, i) =>
		encodeSpans(peers.slice((i * peersOfRequest) % peers.length), spansPerPeer),
	);
	const sender = new Sender(collector, bodies);
	const before = await settledOutcomes(collector);
	const none = (): Record<Arm, number[]> => ({ without: [], with: [] });
	const [rates, collectorUs, daemonUs, times] = [none(), none(), none(), none()];
	const cpu = () => [collectorCgroup, daemonCgroup].map((each) => sandbox.cpuSeconds(each)) as [number, number];
	for (const arm of arms) await sender.rate(arm, 1);
	for (let round = 0; round < rounds; round++) {
		plan.say(`collector_processor: ${spansPerPeer} spans of a connection, round ${round + 1}`);
		for (const arm of round % 2 === 0 ? arms : arms.toReversed()) {
			const [collectorBefore, daemonBefore] = cpu();
			const { spans, perSecond } = await sender.rate(arm, seconds);
			const [collectorAfter, daemonAfter] = cpu();
			rates[arm].push(perSecond);
			collectorUs[arm].push(((collectorAfter - collectorBefore) * 1e6) / spans);
			daemonUs[arm].push(((daemonAfter - daemonBefore) * 1e6) / spans);
		}
	}
	const half = median(rates.with) / 2;
	for (let round = 0; round < rounds; round++) {
		for (const arm of round % 2 === 0 ? arms : arms.toReversed()) {
			times[arm].push(...(await sender.latencies(arm, half, seconds)));
		}
	}
	sender.close();
	const after = await settledOutcomes(collector);
	const grown = (outcome: string) => (after.get(outcome) ?? 0) - (before.get(outcome) ?? 0);
	const all = [...after.keys()].reduce((sum, outcome) => sum + grown(outcome), 0);
	const of = (read: (arm: Arm) => number) => ({ without: read('without'), with: read('with') });
	return {
		spansPerPeer,
		enriched: grown('enriched') / all,
		perSecond: of((arm) => median(rates[arm])),
		collectorUs: of((arm) => median(collectorUs[arm])),
		daemonUs: of((arm) => median(daemonUs[arm])),
		p50: of((arm) => quantile(times[arm], 0.5)),
		p99: of((arm) => quantile(times[arm], 0.99)),
	};
}

export async function measureCollectorProcessor(sandbox: Sandbox, plan: Plan): Promise<Part> {
	plan.say('collector_processor: building the Collector');
	const program = await buildProcessorCollector(true);
	if (program === undefined) throw new ToascopeError('MISSING_TOOL', 'without Go no Collector can be built');
	const cgroups = { server: 'with', client: 'without' };
	const file = join(sandbox.scratch, 'collector-peers');
	await using daemon = await startDaemon(sandbox, cgroups.server);
	await using holding = await Holding.start(sandbox, connections, file);
	await holding.hold(cgroups, connections);
	await using collector = await Collector.start(program, {
		configuration: configuration(daemon.socket),
		spawn: (command, args, options) => {
			const [setpriv, ...before] = sandbox.killedWithParent;
			const child = spawn(setpriv, [...before, command, ...args], options);
			sandbox.move(child, collectorCgroup);
			return child;
		},
	});
	const peers = readFileSync(file, 'utf8')
		.trim()
		.split('\n')
		.map((line) => line.split(' ')[0] as string);
	const measured: Measured[] = [];
	for (const each of spansOfPeer) measured.push(await measure(sandbox, plan, collector, peers, each));
	await holding.drop();
	return { figures: { senders, connections, measured }, rows: measured.flatMap(rowsOf) };
}

function rowsOf({ spansPerPeer, enriched, perSecond, collectorUs, daemonUs, p50, p99 }: Measured): Row[] {
	const verdictOf = (met: boolean) => (met && enriched >= enrichedAtLeast ? 'met' : 'falls short');
	const cost = `${collectorUs.with.toFixed(1)} µs of processor time of the Collector for a span, ${collectorUs.without.toFixed(1)} without it, and ${daemonUs.with.toFixed(1)} of the daemon`;
	const clients = `${(enriched * 100).toFixed(1)} % of them got their client`;
	const share = perSecond.with / perSecond.without;
	const added = p99.with - p99.without;
	const what = spansPerPeer === 1 ? 'each of another connection' : `${spansPerPeer} of each connection`;
	return [
		{
			name: `collector_processor_rate_${spansPerPeer}`,
			what: `spans that pass the processor for OpenTelemetry, ${what}`,
			value: `${share.toFixed(2)} of the rate without it`,
			aim: `at least ${atLeastShare}`,
			verdict: verdictOf(share >= atLeastShare),
			note: `${perSecond.with.toFixed(0)} a second; ${perSecond.without.toFixed(0)} without it; ${cost}; ${clients}`,
		},
		{
			name: `collector_processor_p99_${spansPerPeer}`,
			what: `p99 of requests with ${spansOfRequest} spans at half that rate, ${what}`,
			value: `${added.toFixed(1)} ms more`,
			aim: `less than ${addedAtMostMs} ms more`,
			verdict: verdictOf(added < addedAtMostMs),
			note: `p50 ${(p50.with - p50.without).toFixed(1)} ms more; p99 ${p99.with.toFixed(1)} ms, ${p99.without.toFixed(1)} ms without it`,
		},
	];
}
