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
import { allNs, difference, programCounts } from './program_time.ts';
import type { Part, Plan, Row } from './result.ts';
import { median } from './statistics.ts';
import { Tool } from './tool.ts';

const places = { server: 'with', client: 'without' };
/** More than the table of connections holds: it is full at every size. */
const least = 70_000;
const longest = 120;

interface Cost {
	readonly clients: number;
	/** All programs, for a connection, server side. */
	readonly programNs: number;
	readonly lookMs: number;
	readonly rssMb: number;
}

export async function measureGrowth(ground: Ground, plan: Plan): Promise<Part> {
	const sizes = plan.quick ? [1000, 10_000] : [1000, 10_000, 100_000, 1_000_000];
	const costs: Cost[] = [];
	for (const clients of sizes) {
		plan.say(`growth: ${clients} clients`);
		const { programNs, rssMb } = await ofDaemon(ground, clients, plan);
		costs.push({ clients, programNs, lookMs: await ofLook(ground, clients), rssMb });
	}
	return { figures: { costs }, rows: costs.map(row), files: { 'growth.svg': draw(costs) } };
}

function row({ clients, programNs, lookMs, rssMb }: Cost): Row {
	return {
		name: `growth_${clients}`,
		what: `BPF time for an accepted connection, with ${clients} clients`,
		value: `${programNs.toFixed(0)} ns`,
		aim: '',
		verdict: 'none',
		note: `a look of the daemon takes ${lookMs.toFixed(1)} ms of CPU time, its RSS is ${rssMb.toFixed(0)} MB`,
	};
}

function draw(costs: readonly Cost[]): string {
	const points = (read: (cost: Cost) => number) => costs.map((cost) => ({ x: cost.clients, y: read(cost) }));
	return plot('What toascope costs, by clients in the kernel’s table', 'clients', [
		{ title: 'BPF time for a connection, ns', points: points(({ programNs }) => programNs) },
		{ title: 'CPU time of a look of the daemon, ms', points: points(({ lookMs }) => lookMs) },
		{ title: 'daemon RSS, MB', points: points(({ rssMb }) => rssMb) },
	]);
}

const capacity = (clients: number) => `clients: {capacity: ${Math.max(65_536, clients)}}`;

async function ofDaemon(ground: Ground, clients: number, plan: Plan): Promise<{ programNs: number; rssMb: number }> {
	const repeats = plan.quick ? 1 : 5;
	const connections = plan.quick ? 10_000 : 40_000;
	let made = Math.max(clients, least);
	// switches the statistics on
	await using _runtime = await Tool.start(ground, 'toascope-runtime', ['measure', ground.cgroup('empty')]);
	await using daemon = await startDaemon(ground, places.server, capacity(clients));
	await using generator = await Generator.start(ground, clients);
	const counts = async () => programCounts(await whenClosed(ground, daemon, made));
	await generator.run(places, { seconds: longest, connections: made });
	const ns: number[] = [];
	for (let before = await counts(); ns.length < repeats; ) {
		await generator.run(places, { seconds: longest, connections });
		made += connections;
		const after = await counts();
		ns.push(allNs(difference(after, before)) / connections);
		before = after;
	}
	await whenTracked(ground, daemon, clients);
	return { programNs: median(ns), rssMb: residentBytes(daemon.child.pid ?? Number.NaN) / 1e6 };
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
