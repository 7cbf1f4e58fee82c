// SPDX-License-Identifier: Apache-2.0
/** Nanoseconds in the BPF programs of some daemons for each accepted connection, in turns, by the kernel's own statistics. */
import type { DaemonArm } from './daemon_arm.ts';
import type { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import { type Counts, difference, isSweep, netNs, programCounts } from './program_counts.ts';
import type { Plan } from './result.ts';
import { median } from './statistics.ts';
import { Tool } from './tool.ts';

/** More than the table of connections holds: from then on each new one puts an old one out. */
const warmUp = 70_000;
const longest = 60;

export interface ProgramTime {
	readonly program: string;
	/** For each connection, as the next two. */
	readonly runs: number;
	readonly ns: number;
	readonly net_ns: number;
}

/** For each connection. The lists have a value for each repeat; net: less what the statistics themselves add. */
export interface BpfTime {
	/** What the connection itself waits for. */
	readonly path: readonly number[];
	/** What sweeps take for it later. */
	readonly sweep: readonly number[];
	/** Both. */
	readonly net: readonly number[];
	readonly gross: readonly number[];
	readonly programs: readonly ProgramTime[];
}

export interface BpfTimes {
	/** In the order of the arms. */
	readonly times: readonly BpfTime[];
	/** What a call of a program that does nothing shows, by hook. */
	readonly emptyNs: Readonly<Record<string, number>>;
	readonly repeats: number;
	readonly connections: number;
}

/** `name`: of the part, for people. The kernel's statistics are on meanwhile. */
export async function measureBpfTime(
	ground: Ground,
	plan: Plan,
	name: string,
	generator: Generator,
	arms: readonly DaemonArm[],
): Promise<BpfTimes> {
	const repeats = plan.quick ? 3 : 7;
	const connections = plan.quick ? 10_000 : 40_000;
	await using runtime = await Tool.start(ground, 'toascope-runtime', ['measure', ground.cgroup('empty')]);
	const limits = { seconds: longest, connections };
	/** What an arm's programs have run by the end of its last turn. */
	const last = new Map<DaemonArm, Counts>();
	const turn = async (arm: DaemonArm, many: number): Promise<Counts> => {
		await arm.serve(generator, { seconds: longest, connections: many });
		const after = programCounts(await arm.counted());
		arm.pause();
		const counts = difference(after, last.get(arm) ?? {});
		last.set(arm, after);
		return counts;
	};
	const emptyTurn = async (): Promise<Counts> => {
		const before = await runtime.ask<Counts>('read');
		await generator.run({ server: 'empty', client: 'without' }, limits);
		return difference(await runtime.ask<Counts>('read'), before);
	};

	plan.say(`${name}: filling the table of connections`);
	for (const arm of arms) await turn(arm, warmUp);
	await emptyTurn();
	const runs = arms.map((): Counts[] => []);
	const empty: Counts[] = [];
	for (let repeat = 0; repeat < repeats; repeat++) {
		plan.say(`${name}: BPF time, ${repeat + 1} of ${repeats}`);
		const order = [...arms.keys()];
		for (const index of repeat % 2 === 0 ? order : order.toReversed()) {
			runs[index]?.push(await turn(arms[index] as DaemonArm, connections));
		}
		empty.push(await emptyTurn());
	}
	return {
		times: runs.map((counts) => summarise(counts, empty, connections)),
		emptyNs: Object.fromEntries(
			Object.keys(empty[0] ?? {}).map((hook) => [hook, median(empty.map((each) => perCall(each[hook])))]),
		),
		repeats,
		connections,
	};
}

function perCall(count: Counts[string] | undefined): number {
	return (count?.ns ?? Number.NaN) / (count?.runs ?? Number.NaN);
}

function summarise(counts: readonly Counts[], empty: readonly Counts[], connections: number): BpfTime {
	const net = (isOf: (program: string) => boolean) =>
		counts.map((each, repeat) => netNs(each, empty[repeat] ?? {}, isOf) / connections);
	const middle = (program: string, read: (count: { runs: number; ns: number }) => number) =>
		median(counts.map((each) => read(each[program] ?? { runs: 0, ns: 0 }) / connections));
	const programs = Object.keys(counts[0] ?? {}).map((program) => ({
		program,
		runs: middle(program, ({ runs }) => runs),
		ns: middle(program, ({ ns }) => ns),
		net_ns: median(net((each) => each === program)),
	}));
	return {
		path: net((program) => !isSweep(program)),
		sweep: net(isSweep),
		net: net(() => true),
		gross: counts.map((each) => Object.values(each).reduce((all, { ns }) => all + ns, 0) / connections),
		programs: programs.filter(({ runs }) => runs > 0),
	};
}
