// SPDX-License-Identifier: Apache-2.0
/**
 * Measures nanoseconds per accepted connection in the BPF programs of several daemons, which take
 * the load alternately. The times come from the kernel's run-time statistics.
 */
import type { DaemonArm } from './daemon_arm.ts';
import type { Generator } from './generator.ts';
import { type Counts, difference, isSweep, netNs, programCounts } from './program_counts.ts';
import type { Plan } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';
import { Tool } from './tool.ts';

/** More connections than the table holds, so that afterwards each new one replaces an old one. */
const warmUp = 70_000;
const longest = 60;

interface ProgramTime {
	readonly program: string;
	/** Per connection, like the two fields below. */
	readonly runs: number;
	readonly ns: number;
	readonly net_ns: number;
}

/**
 * Nanoseconds per connection, with one value for each repeat. All but `gross` are net of the
 * overhead of the statistics.
 */
interface BpfTime {
	/** Time that delays the connection itself. */
	readonly path: readonly number[];
	/** Time that sweeps spend on it later. */
	readonly sweep: readonly number[];
	/** The sum of both. */
	readonly net: readonly number[];
	readonly gross: readonly number[];
	readonly programs: readonly ProgramTime[];
}

export interface BpfTimes {
	/** One for each arm, in order. */
	readonly times: readonly BpfTime[];
	/** Measured time of a call of a program that does nothing, by hook. */
	readonly emptyNs: Readonly<Record<string, number>>;
	readonly repeats: number;
	readonly connections: number;
}

/**
 * `name` is that of the part, for progress messages. The kernel's run-time statistics are enabled
 * meanwhile.
 */
export async function measureBpfTime(
	sandbox: Sandbox,
	plan: Plan,
	name: string,
	generator: Generator,
	arms: readonly DaemonArm[],
): Promise<BpfTimes> {
	const repeats = plan.quick ? 3 : 7;
	const connections = plan.quick ? 10_000 : 40_000;
	await using runtime = await Tool.start(sandbox, 'toascope-runtime', ['measure', sandbox.cgroup('empty')]);
	const limits = { seconds: longest, connections };
	/** Counts of each arm's programs at the end of its last run. */
	const last = new Map<DaemonArm, Counts>();
	const runArm = async (arm: DaemonArm, count: number): Promise<Counts> => {
		await arm.serve(generator, { seconds: longest, connections: count });
		const after = programCounts(await arm.counted());
		arm.pause();
		const counts = difference(after, last.get(arm) ?? {});
		last.set(arm, after);
		return counts;
	};
	const runEmpty = async (): Promise<Counts> => {
		const before = await runtime.ask<Counts>('read');
		await generator.run({ server: 'empty', client: 'without' }, limits);
		return difference(await runtime.ask<Counts>('read'), before);
	};

	plan.say(`${name}: filling the connection table`);
	for (const arm of arms) await runArm(arm, warmUp);
	await runEmpty();
	const runs = arms.map((): Counts[] => []);
	const empty: Counts[] = [];
	for (let repeat = 0; repeat < repeats; repeat++) {
		plan.say(`${name}: BPF time, ${repeat + 1} of ${repeats}`);
		const order = [...arms.keys()];
		for (const index of repeat % 2 === 0 ? order : order.toReversed()) {
			runs[index]?.push(await runArm(arms[index] as DaemonArm, connections));
		}
		empty.push(await runEmpty());
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
