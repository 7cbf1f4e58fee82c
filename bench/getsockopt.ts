// SPDX-License-Identifier: Apache-2.0
/**
 * Measures how much longer a getsockopt() takes that toascope does not answer: one thread makes one
 * call after the other, on sockets that differ only in their cgroup.
 *
 *	with	 toascope's program is attached
 *	empty	 a program that does nothing is attached to the same hook
 *	control	 another socket of the cgroup of `empty`
 *	without	 no program is attached, while the hook is in use elsewhere on the host
 */
import { startDaemon } from './daemon.ts';
import { watchOtherProcesses } from './machine.ts';
import { compare, formatEstimate } from './pairs.ts';
import type { Part, Plan, Row, Verdict } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { type Estimate, median } from './statistics.ts';
import { Tool } from './tool.ts';

const atMostNs = 30;
/** There is no verdict if the control's interval extends further from 0. */
const controlSpreadNs = 5;
const calls = 5000;

const arms = ['with', 'empty', 'control', 'without'] as const;
type Arm = (typeof arms)[number];
const cgroups: Readonly<Record<Arm, string>> = { with: 'with', empty: 'empty', control: 'empty', without: 'without' };

const options = { so_error: 'SO_ERROR', tcp_info: 'TCP_INFO' } as const;
type Option = keyof typeof options;

/** Nanoseconds per call. */
type Round = Readonly<Record<Arm, Readonly<Record<Option, number>>>>;

export async function measureGetsockopt(sandbox: Sandbox, plan: Plan): Promise<Part> {
	const count = plan.quick ? 20 : 200;
	await using _daemon = await startDaemon(sandbox, cgroups.with);
	await using tool = await Tool.start(sandbox, 'toascope-getsockopt', [sandbox.cgroup(cgroups.empty)]);
	for (const arm of arms) {
		sandbox.move(tool.child, cgroups[arm]);
		await tool.ask(`socket ${arm}`);
	}
	const round = () => tool.ask<Round>(`round ${calls}`);
	plan.say(`getsockopt: ${count} rounds`);
	await round();
	const rounds: Round[] = [];
	const othersShare = watchOtherProcesses(sandbox);
	while (rounds.length < count) rounds.push(await round());
	return summarise(rounds, othersShare());
}

function verdictOf({ median: middle }: Estimate, control: Estimate): Verdict {
	if (control.low < -controlSpreadNs || control.high > controlSpreadNs) return 'none';
	return middle <= atMostNs ? 'met' : 'falls short';
}

function summarise(rounds: readonly Round[], others: number): Part {
	const figures: Record<string, object> = {};
	const rows: Row[] = [];
	for (const [option, label] of Object.entries(options) as [Option, string][]) {
		const difference = (arm: Arm, baseline: Arm) =>
			compare(rounds, rounds, (round) => round[arm][option] - round[baseline][option]);
		const added = difference('with', 'empty');
		const control = difference('control', 'empty');
		const hook = difference('with', 'without');
		const ns = Object.fromEntries(arms.map((arm) => [arm, median(rounds.map((round) => round[arm][option]))]));
		figures[option] = { added, control, hook, ns };
		const base = `${ns.without?.toFixed(0)} ns without a program`;
		const name = `getsockopt_${option}`;
		rows.push(
			{
				name,
				what: `getsockopt(${label}): time that toascope's program adds over one that does nothing`,
				value: `${formatEstimate(added, 1)} ns`,
				aim: `at most ${atMostNs} ns`,
				verdict: verdictOf(added, control),
				note: `control, the same program twice: ${formatEstimate(control, 1)} ns`,
			},
			{
				name: `${name}_hook`,
				what: `getsockopt(${label}): time that the hook and toascope's program add together`,
				value: `${formatEstimate(hook, 1)} ns`,
				aim: '',
				verdict: 'none',
				note: `${base}; other processes took ${(others * 100).toFixed(0)} % of the processors`,
			},
		);
	}
	return { figures: { ...figures, rounds: rounds.length, calls, others_share: others }, rows };
}
