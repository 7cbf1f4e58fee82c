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
import { total } from '../test/kit/telemetry/metrics.ts';
import { daemonCgroup, startDaemon, untilClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import { InProcessDaemon } from './in_process_daemon.ts';
import type { Limits } from './load.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';

const atLeast = 200_000;
const clients = 1000;
const longest = 60;
const cgroups = { server: 'with', client: 'without' };
/** The records of each connection. */
const types: readonly ConnectionEvent['type'][] = ['opened', 'accepted', 'closed'];
/** Connections per second that a daemon should handle without dropping records. */
const evenRate = 10_000;
/** Records per connection from which spans are made. */
const traced = 2;

export async function measureRing(sandbox: Sandbox, plan: Plan): Promise<Part> {
	plan.say('ring: records of a burst');
	const burst = await drainBursts(sandbox, plan.quick ? 20_000 : 100_000, plan.quick ? 3 : 7);
	plan.say('ring: a daemon that sends spans');
	const seconds = plan.quick ? 3 : 10;
	const fastest = await traceLive(sandbox, { seconds });
	const even = await traceLive(sandbox, { seconds, perSecond: evenRate });
	const perSecond = median(burst.perSecond);
	return {
		figures: { burst, live: fastest, live_even: even },
		rows: [
			{
				name: 'ring',
				what: 'records that the daemon decodes from the ring, every connection traced',
				value: `${perSecond.toFixed(0)} per second`,
				aim: `at least ${atLeast} per second`,
				verdict: perSecond >= atLeast ? 'met' : 'falls short',
				note: `${burst.records} at a time, none dropped, ${burst.perSecond.length} times; the first time ${burst.perSecond[0]?.toFixed(0)} per second`,
			},
			liveRow('ring_live', 'at the highest rate of connections', fastest),
			liveRow('ring_live_even', `at ${evenRate} connections/s`, even),
		],
	};
}

type Live = Awaited<ReturnType<typeof traceLive>>;

function liveRow(name: string, when: string, { records, lost: dropped, seconds, daemonSeconds }: Live): Row {
	const rate = (count: number) => (count / seconds).toFixed(0);
	return {
		name,
		what: `records dropped from the ring of a daemon that sends spans, ${when}`,
		value: `${((dropped / records) * 100).toFixed(1)} %`,
		aim: 'none',
		verdict: dropped === 0 ? 'met' : 'falls short',
		note: `${rate(records)} records/s, ${rate(records - dropped)}/s read; the daemon used ${((daemonSeconds / seconds) * 100).toFixed(0)} % of a core`,
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

/** The collector accepts every request at once, and discards it. */
async function traceLive(sandbox: Sandbox, limits: Limits) {
	const collector = createServer((request, response) => {
		request.resume().once('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end());
	}).listen(0, '127.0.0.1');
	await once(collector, 'listening');
	try {
		const { port } = collector.address() as AddressInfo;
		await using daemon = await startDaemon(
			sandbox,
			cgroups.server,
			`otel: {endpoint: "http://127.0.0.1:${port}", spans: on}`,
		);
		await using generator = await Generator.start(sandbox, clients);
		const first = await generator.run(cgroups, { ...limits, seconds: 1 });
		const dropsBefore = await ringDrops(sandbox, daemon, first.connections);
		const before = sandbox.cpuSeconds(daemonCgroup);
		const run = await generator.run(cgroups, limits);
		const daemonSeconds = sandbox.cpuSeconds(daemonCgroup) - before;
		const dropsAfter = await ringDrops(sandbox, daemon, first.connections + run.connections);
		return {
			connections: run.connections,
			records: run.connections * traced,
			lost: dropsAfter - dropsBefore,
			seconds: run.seconds,
			daemonSeconds,
		};
	} finally {
		collector.closeAllConnections();
		collector.close();
	}
}

async function ringDrops(...[sandbox, daemon, connections]: Parameters<typeof untilClosed>): Promise<number> {
	const samples = await untilClosed(sandbox, daemon, connections);
	return Number(total(samples, 'toascope_drops_total', { reason: 'ring_full' }));
}
