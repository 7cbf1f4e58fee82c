// SPDX-License-Identifier: Apache-2.0
/**
 * Records of connections that are traced: how fast the daemon's code takes them from the ring, and what is lost of
 * them by a daemon that sends spans while connections come as fast as they can.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { ToascopeError } from '../daemon/errors.ts';
import type { ConnectionEvent } from '../daemon/model/connection.ts';
import { total } from '../test/fixtures/metrics.ts';
import { daemonPlace, startDaemon, whenClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import { Inside } from './inside.ts';
import type { Limits } from './load.ts';
import type { Part, Plan, Row } from './result.ts';
import { median } from './statistics.ts';

const atLeast = 200_000;
const clients = 1000;
const longest = 60;
const places = { server: 'with', client: 'without' };
/** Of a connection: opened, accepted, closed. */
const types: readonly ConnectionEvent['type'][] = ['opened', 'accepted', 'closed'];
/** Connections a second: what a daemon should have no trouble with. */
const evenRate = 10_000;
/** Those that spans are made of. */
const traced = 2;

export async function measureRing(ground: Ground, plan: Plan): Promise<Part> {
	plan.say('ring: records that wait');
	const burst = await drainBursts(ground, plan.quick ? 20_000 : 100_000, plan.quick ? 3 : 7);
	plan.say('ring: a daemon that sends spans');
	const seconds = plan.quick ? 3 : 10;
	const fastest = await traceLive(ground, { seconds });
	const even = await traceLive(ground, { seconds, perSecond: evenRate });
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
				note: `${burst.records} at a time, none lost, ${burst.perSecond.length} times; the first time ${burst.perSecond[0]?.toFixed(0)} per second`,
			},
			liveRow('ring_live', 'as fast as connections come', fastest),
			liveRow('ring_live_even', `at ${evenRate} connections/s`, even),
		],
	};
}

type Live = Awaited<ReturnType<typeof traceLive>>;

function liveRow(name: string, when: string, { records, lost, seconds, daemonSeconds }: Live): Row {
	const rate = (count: number) => (count / seconds).toFixed(0);
	return {
		name,
		what: `records that a daemon loses which sends spans, ${when}`,
		value: `${((lost / records) * 100).toFixed(1)} %`,
		aim: 'none',
		verdict: lost === 0 ? 'met' : 'falls short',
		note: `${rate(records)} records/s, ${rate(records - lost)}/s taken; the daemon used ${((daemonSeconds / seconds) * 100).toFixed(0)} % of a core`,
	};
}

/** The ring holds all records of a burst: nobody takes them meanwhile. */
async function drainBursts(ground: Ground, connections: number, times: number) {
	using inside = Inside.open(ground, places.server, 'bpf: {pin: off, ring_bytes: 128 MiB}');
	const { provider } = inside;
	await using generator = await Generator.start(ground, clients);
	provider.listen(...types);
	const perSecond: number[] = [];
	for (let time = 0; time < times; time++) {
		await generator.run(places, { seconds: longest, connections });
		const counts: Record<string, number> = {};
		const count = ({ type }: ConnectionEvent) => {
			counts[type] = (counts[type] ?? 0) + 1;
		};
		const all = () => types.reduce((sum, type) => sum + (counts[type] ?? 0), 0);
		const begun = performance.now();
		for (let before = -1; all() > before; ) {
			before = all();
			provider.drain(count, (step, cause) => {
				throw new ToascopeError('LAB_FAILED', `records were not read: ${step} failed`, { cause });
			});
		}
		const seconds = (performance.now() - begun) / 1000;
		if (types.some((type) => counts[type] !== connections)) {
			const said = `${connections} connections had ${JSON.stringify(counts)} records`;
			throw new ToascopeError('LAB_FAILED', `${said}, ${provider.counters.drops().ring_full} were lost`);
		}
		perSecond.push(all() / seconds);
	}
	return { perSecond, records: connections * types.length };
}

/** The collector takes everything at once, and looks at nothing. */
async function traceLive(ground: Ground, limits: Limits) {
	const collector = createServer((request, response) => {
		request.resume().once('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end());
	}).listen(0, '127.0.0.1');
	await once(collector, 'listening');
	try {
		const { port } = collector.address() as AddressInfo;
		await using daemon = await startDaemon(
			ground,
			places.server,
			`otel: {endpoint: "http://127.0.0.1:${port}", spans: on}`,
		);
		await using generator = await Generator.start(ground, clients);
		const first = await generator.run(places, { ...limits, seconds: 1 });
		const lostBefore = await lost(ground, daemon, first.connections);
		const before = ground.cpuSeconds(daemonPlace);
		const run = await generator.run(places, limits);
		const daemonSeconds = ground.cpuSeconds(daemonPlace) - before;
		const lostAfter = await lost(ground, daemon, first.connections + run.connections);
		return {
			connections: run.connections,
			records: run.connections * traced,
			lost: lostAfter - lostBefore,
			seconds: run.seconds,
			daemonSeconds,
		};
	} finally {
		collector.closeAllConnections();
		collector.close();
	}
}

async function lost(...[ground, daemon, connections]: Parameters<typeof whenClosed>): Promise<number> {
	const samples = await whenClosed(ground, daemon, connections);
	return Number(total(samples, 'toascope_drops_total', { reason: 'ring_full' }));
}
