// SPDX-License-Identifier: Apache-2.0
/**
 * Measures how the cost grows with the number of clients in the kernel's table: BPF time, CPU time
 * of a collection, and memory of the daemon.
 */
import { setImmediate } from 'node:timers/promises';
import { Store } from '../daemon/model/store.ts';
import { startDaemon, untilClosed, untilTracked } from './daemon.ts';
import { Generator } from './generator.ts';
import { InProcessDaemon } from './in_process_daemon.ts';
import { residentBytes } from './memory_use.ts';
import { plot } from './plot.ts';
import { allNs, difference, isSweep, programCounts } from './program_counts.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';
import { Tool } from './tool.ts';

const cgroups = { server: 'with', client: 'without' };
/** More connections than the table holds, so that it is full at every size. */
const least = 70_000;
const longest = 120;
/** Limit of the BPF time on the path with the most clients / with the fewest. */
const growsAtMost = 1.1;

interface Cost {
	readonly clients: number;
	/** All programs but the sweep, per connection, on the server's side. */
	readonly pathNs: number;
	readonly sweepNs: number;
	readonly lookMs: number;
	readonly rssMb: number;
}

export async function measureGrowth(sandbox: Sandbox, plan: Plan): Promise<Part> {
	const sizes = plan.quick ? [1000, 10_000] : [1000, 10_000, 100_000, 1_000_000];
	const costs: Cost[] = [];
	for (const clients of sizes) {
		plan.say(`growth: ${clients} clients`);
		const ofPrograms = await measureDaemon(sandbox, clients, plan);
		costs.push({ clients, ...ofPrograms, lookMs: await measureCollection(sandbox, clients) });
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
		note: `${sweepNs.toFixed(0)} ns in sweeps; a collection takes ${lookMs.toFixed(1)} ms of CPU time of the daemon, whose RSS is ${rssMb.toFixed(0)} MB`,
	};
}

function draw(costs: readonly Cost[]): string {
	const points = (read: (cost: Cost) => number) => costs.map((cost) => ({ x: cost.clients, y: read(cost) }));
	return plot('What toascope costs, by clients in the kernel’s table', 'clients', [
		{
			title: 'BPF time per connection, sweeps included, ns',
			points: points(({ pathNs, sweepNs }) => pathNs + sweepNs),
		},
		{ title: 'daemon CPU time of a collection, ms', points: points(({ lookMs }) => lookMs) },
		{ title: 'daemon RSS, MB', points: points(({ rssMb }) => rssMb) },
	]);
}

const capacity = (clients: number) => `clients: {capacity: ${Math.max(65_536, clients)}}`;

async function measureDaemon(sandbox: Sandbox, clients: number, plan: Plan): Promise<Omit<Cost, 'clients' | 'lookMs'>> {
	const repeats = plan.quick ? 1 : 5;
	const connections = plan.quick ? 10_000 : 40_000;
	let made = Math.max(clients, least);
	// enables the kernel's run-time statistics
	await using _runtime = await Tool.start(sandbox, 'toascope-runtime', ['measure', sandbox.cgroup('empty')]);
	await using daemon = await startDaemon(sandbox, cgroups.server, capacity(clients));
	await using generator = await Generator.start(sandbox, clients);
	const counts = async () => programCounts(await untilClosed(sandbox, daemon, made));
	await generator.run(cgroups, { seconds: longest, connections: made });
	const path: number[] = [];
	const sweep: number[] = [];
	for (let before = await counts(); path.length < repeats; ) {
		await generator.run(cgroups, { seconds: longest, connections });
		made += connections;
		const after = await counts();
		const counted = Object.entries(difference(after, before));
		const sum = (some: typeof counted) => allNs(Object.fromEntries(some)) / connections;
		path.push(sum(counted.filter(([program]) => !isSweep(program))));
		sweep.push(sum(counted.filter(([program]) => isSweep(program))));
		before = after;
	}
	await untilTracked(sandbox, daemon, clients);
	const rssMb = residentBytes(daemon.child.pid ?? Number.NaN) / 1e6;
	return { pathNs: median(path), sweepNs: median(sweep), rssMb };
}

/**
 * CPU milliseconds of a collection, by the daemon's store and provider inside the bench. The first
 * two do not count, since they register the clients and compile the code.
 */
async function measureCollection(sandbox: Sandbox, clients: number): Promise<number> {
	using inside = InProcessDaemon.open(sandbox, cgroups.server, `bpf: {pin: off}\n${capacity(clients)}`);
	{
		await using generator = await Generator.start(sandbox, clients);
		await generator.run(cgroups, { seconds: longest, connections: clients });
	}
	const store = new Store(inside.provider.counters, inside.config.clients);
	const times: number[] = [];
	for (let pass = 0; pass < 7; pass++) {
		const before = process.cpuUsage();
		await store.collect(() => setImmediate());
		const { user, system } = process.cpuUsage(before);
		times.push((user + system) / 1000);
	}
	return median(times.slice(2));
}
