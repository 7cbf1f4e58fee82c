// SPDX-License-Identifier: Apache-2.0
/**
 * Nanoseconds in our BPF programs for each accepted connection, on the server's side: the client's
 * sockets are in another cgroup, where our programs are not. The kernel's statistics count a
 * share of their own into each run; programs that do nothing tell how much.
 */
import { type Sample, total } from '../test/fixtures/metrics.ts';
import { startDaemon, whenClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import type { Limits } from './load.ts';
import type { Part, Plan } from './result.ts';
import { median } from './statistics.ts';
import { Tool } from './tool.ts';

const atMostNs = 1500;
const clients = 1000;
/** More than the table of connections holds: from then on each new one puts an old one out. */
const warmUp = 70_000;
const longest = 60;

/** By program. */
export type Counts = Readonly<Record<string, { readonly runs: number; readonly ns: number }>>;

export async function measureProgramTime(ground: Ground, plan: Plan): Promise<Part> {
	const repeats = plan.quick ? 3 : 7;
	const connections = plan.quick ? 10_000 : 40_000;
	await using runtime = await Tool.start(ground, 'toascope-runtime', ['measure', ground.cgroup('empty')]);
	await using daemon = await startDaemon(ground, 'with');
	await using generator = await Generator.start(ground, clients);
	let made = 0;

	const serve = async (server: string, limits: Limits) => {
		await generator.run({ server, client: 'without' }, limits);
		if (server === 'with') made += limits.connections ?? 0;
	};
	const counts = async () => programCounts(await whenClosed(ground, daemon, made));
	const empties = () => runtime.ask<Counts>('read');

	plan.say('program_time: filling the table of connections');
	await serve('with', { seconds: longest, connections: warmUp });
	await serve('empty', { seconds: longest, connections });
	const ours: Counts[] = [];
	const empty: Counts[] = [];
	for (let repeat = 0; repeat < repeats; repeat++) {
		plan.say(`program_time: ${repeat + 1} of ${repeats}`);
		const before = await counts();
		await serve('with', { seconds: longest, connections });
		ours.push(difference(await counts(), before));
		const emptyBefore = await empties();
		await serve('empty', { seconds: longest, connections });
		empty.push(difference(await empties(), emptyBefore));
	}
	return summarise(ours, empty, connections);
}

export function programCounts(samples: readonly Sample[]): Counts {
	const seconds = samples.filter(({ name }) => name === 'toascope_bpf_program_run_seconds_total');
	return Object.fromEntries(
		seconds.map(({ labels, value }) => [
			labels.program ?? '',
			{ runs: Number(total(samples, 'toascope_bpf_program_runs_total', labels)), ns: Number(value) * 1e9 },
		]),
	);
}

export function difference(after: Counts, before: Counts): Counts {
	return Object.fromEntries(
		Object.entries(after).map(([program, { runs, ns }]) => [
			program,
			{ runs: runs - (before[program]?.runs ?? 0), ns: ns - (before[program]?.ns ?? 0) },
		]),
	);
}

/** What a call of a program that does nothing shows; a program without a twin is taken as a sockops one. */
function emptyCall(program: string, emptyNs: Readonly<Record<string, number>>): number {
	return emptyNs[program.replace('toascope_', '')] ?? emptyNs.sockops ?? 0;
}

/** Of all programs together. */
export function allNs(counts: Counts): number {
	return Object.values(counts).reduce((all, { ns }) => all + ns, 0);
}

function summarise(ours: readonly Counts[], empty: readonly Counts[], connections: number): Part {
	const of = (counts: readonly Counts[], program: string, read: (count: { runs: number; ns: number }) => number) =>
		median(counts.map((count) => read(count[program] ?? { runs: 0, ns: 0 })));
	const emptyNs = Object.fromEntries(
		Object.keys(empty[0] ?? {}).map((program) => [program, of(empty, program, ({ runs, ns }) => ns / runs)]),
	);
	const programs = Object.keys(ours[0] ?? {})
		.map((program) => {
			const runs = of(ours, program, (count) => count.runs / connections);
			const ns = of(ours, program, (count) => count.ns / connections);
			return { program, runs, ns, net_ns: ns - runs * emptyCall(program, emptyNs) };
		})
		.filter(({ runs }) => runs > 0);
	const totals = ours.map((counts) => allNs(counts) / connections);
	const totalNs = median(totals);
	const netNs = totalNs - programs.reduce((all, { runs, program }) => all + runs * emptyCall(program, emptyNs), 0);
	return {
		figures: {
			total_ns: totalNs,
			total_ns_least: Math.min(...totals),
			total_ns_most: Math.max(...totals),
			net_ns: netNs,
			empty_call_ns: emptyNs,
			programs,
			repeats: ours.length,
			connections_each: connections,
		},
		rows: [
			{
				name: 'program_time',
				what: 'BPF time for an accepted connection, server side, all programs',
				value: `${Math.round(totalNs)} ns`,
				aim: `at most ${atMostNs} ns`,
				verdict: totalNs <= atMostNs ? 'met' : 'falls short',
				note: `${Math.round(netNs)} ns without what the statistics themselves add`,
			},
			...programs.map(({ program, runs, ns, net_ns }) => ({
				name: `program_time_${program}`,
				what: `of it, ${program}`,
				value: `${Math.round(ns)} ns`,
				aim: '',
				verdict: 'none' as const,
				note: `${runs.toFixed(2)} runs for each connection, ${Math.round(net_ns)} ns net`,
			})),
			{
				name: 'program_time_empty',
				what: 'a call of a sockops program that does nothing',
				value: `${Math.round(emptyNs.sockops ?? Number.NaN)} ns`,
				aim: '',
				verdict: 'none',
			},
		],
	};
}
