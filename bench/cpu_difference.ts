// SPDX-License-Identifier: Apache-2.0
/**
 * Measures how much more CPU time a connection costs under one daemon than under another. The time
 * is that of both ends and the daemon, compared in pairs of runs.
 */
import type { ArmRun, DaemonArm } from './daemon_arm.ts';
import type { Load } from './load.ts';
import { compare } from './pairs.ts';
import type { Plan } from './result.ts';
import { type Control, runRounds } from './rounds.ts';
import { type Estimate, median } from './statistics.ts';

const seconds = 0.4;
/** Fewer rounds than for a rate, because CPU time varies less. */
const bounds = { least: 60, most: 120, step: 10, quick: 6 };

type Arm = 'base' | 'other' | 'control';

export interface CpuDifference {
	/** Microseconds per connection: other minus base. */
	readonly more: Estimate;
	/** The ratio of two runs of base. */
	readonly control: Estimate;
	/** Medians, in microseconds per connection. */
	readonly micros: Readonly<Record<'base' | 'other', number>>;
	readonly rounds: number;
}

const microsOf = ({ cpuSeconds, daemonCpuSeconds, connections }: ArmRun) =>
	((cpuSeconds + daemonCpuSeconds) / connections) * 1e6;

const control: Control<Arm, ArmRun> = {
	arm: 'control',
	against: 'base',
	how: (run, other) => microsOf(run) / microsOf(other),
};

/** Only the server's end is in the daemon's cgroup. */
export async function measureCpuDifference(
	plan: Plan,
	name: string,
	load: Load,
	base: DaemonArm,
	other: DaemonArm,
): Promise<CpuDifference> {
	const arms = { base, other, control: base };
	const once = async (arm: Arm) => {
		const run = await arms[arm].serve(load, { seconds });
		arms[arm].pause();
		return run;
	};
	const { runs } = await runRounds(plan, `${name}: CPU`, Object.keys(arms) as Arm[], control, once, bounds);
	for (const arm of [base, other]) {
		arm.resume();
		await arm.counted();
		arm.pause();
	}
	return {
		more: compare(runs.other, runs.base, (run, without) => microsOf(run) - microsOf(without)),
		control: compare(runs.control, runs.base, control.how),
		micros: { base: median(runs.base.map(microsOf)), other: median(runs.other.map(microsOf)) },
		rounds: runs.base.length,
	};
}
