// SPDX-License-Identifier: Apache-2.0
/**
 * Measures the daemon's own CPU time while connections arrive at an even rate, and while none
 * arrive.
 */
import { setTimeout } from 'node:timers/promises';
import { daemonCgroup } from './daemon.ts';
import { DaemonArm } from './daemon_arm.ts';
import { Generator } from './generator.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';

const atMost = 0.05;
const perSecond = 10_000;
/** The load must have reached this share of the rate. */
const minimumShare = 0.99;
const clients = 1000;
const warmUpSeconds = 2;

/** Shares of a core. */
interface Use {
	readonly busy: number;
	readonly idle: number;
	/** Connections per second. */
	readonly rate: number;
}

export async function measureDaemonCpu(sandbox: Sandbox, plan: Plan): Promise<Part> {
	// each periodic task of the daemon runs more than once: the rarest runs every 15 s
	const seconds = plan.quick ? 5 : 31;
	await using arm = await DaemonArm.start(sandbox, { name: 'with' });
	await using against =
		plan.against && (await DaemonArm.start(sandbox, { name: 'against', program: plan.against.program }));
	await using generator = await Generator.start(sandbox, clients);

	const measureArm = async (each: DaemonArm): Promise<Use> => {
		plan.say(`daemon_cpu: ${perSecond} connections a second`);
		await each.serve(generator, { seconds: warmUpSeconds, perSecond });
		const run = await each.serve(generator, { seconds, perSecond });
		await each.counted();
		plan.say('daemon_cpu: no connection');
		const before = sandbox.cpuSeconds(daemonCgroup);
		await setTimeout(seconds * 1000, undefined, { signal: sandbox.signal });
		const idle = (sandbox.cpuSeconds(daemonCgroup) - before) / seconds;
		each.pause();
		return { busy: run.daemonCpuSeconds / run.seconds, idle, rate: run.rate };
	};

	if (against === undefined) return summarise([await measureArm(arm)], [], seconds, plan);
	// in this order, a drift of the machine affects both equally
	const turns = [await measureArm(arm), await measureArm(against), await measureArm(against), await measureArm(arm)];
	return summarise([turns[0], turns[3]] as Use[], [turns[1], turns[2]] as Use[], seconds, plan);
}

function mean(turns: readonly Use[], read: (use: Use) => number): number {
	return turns.reduce((sum, use) => sum + read(use), 0) / turns.length;
}

function summarise(ours: readonly Use[], theirs: readonly Use[], seconds: number, { against }: Plan): Part {
	const percent = (value: number) => `${(value * 100).toFixed(1)} % of a core`;
	const [busy, idle, rate] = [
		mean(ours, (use) => use.busy),
		mean(ours, (use) => use.idle),
		mean(ours, (use) => use.rate),
	];
	const row: Row = {
		name: 'daemon_cpu',
		what: `daemon CPU at ${perSecond} connections/s, no tracing`,
		value: percent(busy),
		aim: `at most ${percent(atMost).replace('.0', '')}`,
		verdict: rate < perSecond * minimumShare ? 'none' : busy <= atMost ? 'met' : 'falls short',
		note: `${rate.toFixed(0)} connections/s arrived; ${percent(idle)} with none`,
	};
	const figures = { share: busy, idle_share: idle, rate, seconds };
	if (against === undefined) return { figures, rows: [row] };
	const other = mean(theirs, (use) => use.busy);
	return {
		figures: { ...figures, turns: ours, against: { commit: against.commit, share: other, turns: theirs } },
		rows: [
			row,
			{
				name: 'daemon_cpu_against',
				what: `daemon CPU at ${perSecond} connections/s, this tree / ${against.name}`,
				value: (busy / other).toFixed(2),
				aim: '',
				verdict: 'none',
				note: `${percent(busy)} / ${percent(other)}; with none ${percent(idle)} / ${percent(mean(theirs, (use) => use.idle))}`,
			},
		],
	};
}
