// SPDX-License-Identifier: Apache-2.0
/** How cost grows with the clients in the kernel's table: program time, a look of the daemon, its memory. */
import { setImmediate } from 'node:timers/promises';
import { Store } from '../daemon/model/store.ts';
import { startDaemon, whenClosed, whenTracked } from './daemon.ts';
import { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import { Inside } from './inside.ts';
import { residentBytes } from './memory_use.ts';
import { plot } from './plot.ts';
import { allNs, difference, isSweep, programCounts } from './program_counts.ts';
import type { Part, Plan, Row } from './result.ts';
import { median } from './statistics.ts';
import { Tool } from './tool.ts';

const places = { server: 'with', client: 'without' };
/** More than the table of connections holds: it is full at every size. */
const least = 70_000;
const longest = 120;
/** From the fewest clients to the most, of the path. */
const growsAtMost = 1.1;

interface Cost {
	readonly clients: number;
	/** All programs but the sweep, for a connection, server side. */
	readonly pathNs: number;
	readonly sweepNs: number;
	readonly lookMs: number;
	readonly rssMb: number;
}

export async function measureGrowth(ground: Ground, plan: Plan): Promise<Part> {
	const sizes = plan.quick ? [1000, 10_000] : [1000, 10_000, 100_000, 1_000_000];
	const costs: Cost[] = [];
	for (const clients of sizes) {
		plan.say(`growth: ${clients} clients`);
		const ofPrograms = await ofDaemon(ground, clients, plan);
		costs.push({ clients, ...ofPrograms, lookMs: await ofLook(ground, clients) });
	}
	const growth = (costs.at(-1)?.pathNs ?? Number.NaN) / (costs[0]?.pathNs ?? Number.NaN);
	const whole: Row = {
		name: 'growth',
		what: `BPF time on the path of a connection, with ${costs.at(-1)?.clients} clients / with ${costs[0]?.clients}`,
		value: growth.toFixed(2),
		aim: `at most ${growsAtMost}`,
		verdict: growth <= growsAtMost ? 'met' : 'falls short',
	};
	return { figures: { costs, growth }, rows: [whole, ...costs.map(row)], files: { 'growth.svg': draw(costs) } };
}

function row({ clients, pathNs, sweepNs, lookMs, rssMb }: Cost): Row {
	return {
		name: `growth_${clients}`,
		what: `BPF time on the path of an accepted connection, with ${clients} clients`,
		value: `${pathNs.toFixed(0)} ns`,
		aim: '',
		verdict: 'none',
		note: `${sweepNs.toFixed(0)} ns in sweeps; a look of the daemon takes ${lookMs.toFixed(1)} ms of CPU time, its RSS is ${rssMb.toFixed(0)} MB`,
	};
}

function draw(costs: readonly Cost[]): string {
	const points = (read: (cost: Cost) => number) => costs.map((cost) => ({ x: cost.clients, y: read(cost) }));
	return plot('What toascope costs, by clients in the kernel’s table', 'clients', [
		{
			title: 'BPF time for a connection, sweeps and all, ns',
			points: points(({ pathNs, sweepNs }) => pathNs + sweepNs),
		},
		{ title: 'CPU time of a look of the daemon, ms', points: points(({ lookMs }) => lookMs) },
		{ title: 'daemon RSS, MB', points: points(({ rssMb }) => rssMb) },
	]);
}

const capacity = (clients: number) => `clients: {capacity: ${Math.max(65_536, clients)}}`;

async function ofDaemon(ground: Ground, clients: number, plan: Plan): Promise<Omit<Cost, 'clients' | 'lookMs'>> {
	const repeats = plan.quick ? 1 : 5;
	const connections = plan.quick ? 10_000 : 40_000;
	let made = Math.max(clients, least);
	// switches the statistics on
	await using _runtime = await Tool.start(ground, 'toascope-runtime', ['measure', ground.cgroup('empty')]);
	await using daemon = await startDaemon(ground, places.server, capacity(clients));
	await using generator = await Generator.start(ground, clients);
	const counts = async () => programCounts(await whenClosed(ground, daemon, made));
	await generator.run(places, { seconds: longest, connections: made });
	const path: number[] = [];
	const sweep: number[] = [];
	for (let before = await counts(); path.length < repeats; ) {
		await generator.run(places, { seconds: longest, connections });
		made += connections;
		const after = await counts();
		const counted = Object.entries(difference(after, before));
		const sum = (some: typeof counted) => allNs(Object.fromEntries(some)) / connections;
		path.push(sum(counted.filter(([program]) => !isSweep(program))));
		sweep.push(sum(counted.filter(([program]) => isSweep(program))));
		before = after;
	}
	await whenTracked(ground, daemon, clients);
	const rssMb = residentBytes(daemon.child.pid ?? Number.NaN) / 1e6;
	return { pathNs: median(path), sweepNs: median(sweep), rssMb };
}

/** Processor time. The store of the daemon on its provider; the first looks meet the clients, and compile. */
async function ofLook(ground: Ground, clients: number): Promise<number> {
	using inside = Inside.open(ground, places.server, `bpf: {pin: off}\n${capacity(clients)}`);
	{
		await using generator = await Generator.start(ground, clients);
		await generator.run(places, { seconds: longest, connections: clients });
	}
	const store = new Store(inside.provider.counters, inside.config.clients);
	const looks: number[] = [];
	for (let look = 0; look < 7; look++) {
		const before = process.cpuUsage();
		await store.look(() => setImmediate());
		const { user, system } = process.cpuUsage(before);
		looks.push((user + system) / 1000);
	}
	return median(looks.slice(2));
}
