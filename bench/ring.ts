// SPDX-License-Identifier: Apache-2.0
/**
 * Measures how fast the daemon's code reads the records of traced connections from the ring, and
 * how many records are dropped when a daemon sends spans while connections arrive as fast as
 * possible.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ToascopeError } from '../daemon/errors.ts';
import type { ConnectionEvent } from '../daemon/model/connection.ts';
import { ratioOf } from '../daemon/model/sampling.ts';
import { total } from '../test/kit/telemetry/metrics.ts';
import { decodeLogsRequest, decodeTraceRequest } from '../test/kit/telemetry/otlp_decode.ts';
import { daemonCgroup, startDaemon, untilClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import { InProcessDaemon } from './in_process_daemon.ts';
import type { Limits } from './load.ts';
import { residentBytes } from './memory_use.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';

const atLeast = 200_000;
const clients = 1000;
const longest = 60;
const cgroups = { server: 'with', client: 'without' };
/** The records of each connection. */
const types: readonly ConnectionEvent['type'][] = ['opened', 'accepted', 'closed'];
/** Connections per second of which a daemon should send every span. */
const evenRate = 10_000;

export async function measureRing(sandbox: Sandbox, plan: Plan): Promise<Part> {
	plan.say('ring: records of a burst');
	const burst = await drainBursts(sandbox, plan.quick ? 20_000 : 100_000, plan.quick ? 3 : 7);
	plan.say('ring: a daemon that sends spans');
	const seconds = plan.quick ? 3 : 10;
	const fastest = await sendLive(sandbox, spans, { seconds });
	const even = await sendLive(sandbox, spans, { seconds, perSecond: evenRate });
	plan.say('ring: a daemon that sends connection records');
	const recorded = await sendLive(sandbox, records, { seconds });
	const perSecond = median(burst.perSecond);
	return {
		figures: { burst, live: fastest, live_even: even, records: recorded },
		rows: [
			{
				name: 'ring',
				what: 'records that the daemon decodes from the ring, every connection traced',
				value: `${perSecond.toFixed(0)} per second`,
				aim: `at least ${atLeast} per second`,
				verdict: perSecond >= atLeast ? 'met' : 'falls short',
				note: `${burst.records} at a time, none dropped, ${burst.perSecond.length} times; the first time ${burst.perSecond[0]?.toFixed(0)} per second`,
			},
			liveRow('ring_live', 'span was lost, at the highest rate of connections', fastest),
			liveRow('ring_live_even', `span was lost, at ${evenRate} connections/s`, even),
			liveRow('ring_records', 'connection record was lost, at the highest rate of connections', recorded),
		],
	};
}

type Live = Awaited<ReturnType<typeof sendLive>>;

/** What the daemon sends of each connection. */
interface Sent {
	readonly config: string;
	/** Reasons of `toascope_drops_total`. */
	readonly drops: readonly string[];
	readonly what: string;
	/** The connections that each item of a request stands for. */
	readonly decode: (request: Buffer) => readonly number[];
}

const spans: Sent = {
	config: 'spans: on, metrics: off',
	drops: ['ring_full', 'span_queue_full', 'span_export_failed'],
	what: 'spans',
	decode: (request) => decodeTraceRequest(request).map(({ traceState }) => adjustedCount(traceState)),
};

const records: Sent = {
	config: 'spans: off, metrics: off, logs: on',
	drops: ['ring_full', 'log_queue_full', 'log_export_failed'],
	what: 'records',
	decode: (request) => decodeLogsRequest(request).map(() => 1),
};

function liveRow(name: string, when: string, live: Live): Row {
	const { connections, lost, what, items, standFor, ratio, seconds, daemonSeconds, mb } = live;
	const rate = (count: number) => (count / seconds).toFixed(0);
	return {
		name,
		what: `connections whose ${when}`,
		value: `${((lost / connections) * 100).toFixed(1)} %`,
		aim: 'none',
		verdict: lost === 0 ? 'met' : 'falls short',
		note: `${rate(connections)} connections/s, ${rate(items)} ${what}/s, which stand for ${((standFor / connections) * 100).toFixed(1)} % of the connections${ratio === undefined ? '' : `; the ratio was ${ratio} at the end`}; the daemon used ${((daemonSeconds / seconds) * 100).toFixed(0)} % of a core and ${mb.toFixed(0)} MB`,
	};
}

/** The ring must have room for all records of a burst, since nothing is read meanwhile. */
async function drainBursts(sandbox: Sandbox, connections: number, times: number) {
	using inside = InProcessDaemon.open(sandbox, cgroups.server, 'bpf: {pin: off, ring_bytes: 128 MiB}');
	const { provider } = inside;
	await using generator = await Generator.start(sandbox, clients);
	provider.enableEvents({ every: types });
	const perSecond: number[] = [];
	for (let time = 0; time < times; time++) {
		await generator.run(cgroups, { seconds: longest, connections });
		const counts: Record<string, number> = {};
		const count = ({ type }: ConnectionEvent) => {
			counts[type] = (counts[type] ?? 0) + 1;
		};
		const all = () => types.reduce((sum, type) => sum + (counts[type] ?? 0), 0);
		const began = performance.now();
		for (let before = -1; all() > before; ) {
			before = all();
			provider.drain(count, (step, cause) => {
				throw new ToascopeError('LAB_FAILED', `cannot read records: ${step} failed`, { cause });
			});
		}
		const seconds = (performance.now() - began) / 1000;
		if (types.some((type) => counts[type] !== connections)) {
			const found = `${connections} connections had ${JSON.stringify(counts)} records`;
			throw new ToascopeError('LAB_FAILED', `${found}, ${provider.counters.drops().ring_full} were dropped`);
		}
		perSecond.push(all() / seconds);
	}
	return { perSecond, records: connections * types.length };
}

/** The receiver accepts every request at once, and keeps it: items are decoded when the load has ended. */
async function sendLive(sandbox: Sandbox, { config: sent, drops, what, decode }: Sent, limits: Limits) {
	const requests: Buffer[] = [];
	const receiver = createServer((request, response) => {
		const parts: Buffer[] = [];
		request
			.on('data', (part: Buffer) => parts.push(part))
			.once('end', () => {
				requests.push(Buffer.concat(parts));
				response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
			});
	}).listen(0, '127.0.0.1');
	await once(receiver, 'listening');
	try {
		const { port } = receiver.address() as AddressInfo;
		const config = `otel: {endpoint: "http://127.0.0.1:${port}", ${sent}}`;
		await using daemon = await startDaemon(sandbox, cgroups.server, config);
		await using generator = await Generator.start(sandbox, clients);
		const before = sandbox.cpuSeconds(daemonCgroup);
		const run = await generator.run(cgroups, limits);
		const daemonSeconds = sandbox.cpuSeconds(daemonCgroup) - before;
		const samples = await untilClosed(sandbox, daemon, run.connections);
		const dropped = (reason: string) => Number(total(samples, 'toascope_drops_total', { reason }));
		const ratio = samples.find(({ name }) => name === 'toascope_span_sampling_ratio')?.value;
		const mb = residentBytes(daemon.child.pid ?? Number.NaN) / 1e6;
		// what is queued is sent
		await daemon.stop();
		const items = requests.flatMap(decode);
		return {
			connections: run.connections,
			lost: drops.reduce((sum, reason) => sum + dropped(reason), 0),
			what,
			items: items.length,
			standFor: items.reduce((sum, count) => sum + count, 0),
			ratio,
			seconds: run.seconds,
			daemonSeconds,
			mb,
		};
	} finally {
		receiver.closeAllConnections();
		receiver.close();
	}
}

/** How many connections a span with this tracestate stands for. */
function adjustedCount(traceState: string): number {
	const digits = /^ot=th:([0-9a-f]{1,14})$/.exec(traceState)?.[1];
	if (digits === undefined) throw new ToascopeError('LAB_FAILED', `a span has the tracestate ${traceState}`);
	return 1 / ratioOf(BigInt(`0x${digits.padEnd(14, '0')}`));
}
