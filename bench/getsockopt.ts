// SPDX-License-Identifier: Apache-2.0
/**
 * What a getsockopt() that is not ours takes longer: one thread, one call after the other, on sockets that differ in
 * their cgroup alone.
 *
 *	with	 our program is attached
 *	empty	 one that does nothing, on the same hook
 *	control	 the same once more
 *	without	 none, while the hook is in use elsewhere on the host
 */
import { startDaemon } from './daemon.ts';
import type { Ground } from './ground.ts';
import { watchOthers } from './machine.ts';
import { compare, show } from './pairs.ts';
import type { Part, Plan, Row, Verdict } from './result.ts';
import { type Estimate, median } from './statistics.ts';
import { Tool } from './tool.ts';

const atMostNs = 30;
/** A control whose interval leaves 0 by more gives no verdict. */
const controlSpreadNs = 5;
const calls = 5000;

const arms = ['with', 'empty', 'control', 'without'] as const;
type Arm = (typeof arms)[number];
const places: Readonly<Record<Arm, string>> = { with: 'with', empty: 'empty', control: 'empty', without: 'without' };

const options = { so_error: 'SO_ERROR', tcp_info: 'TCP_INFO' } as const;
type Option = keyof typeof options;

/** Nanoseconds for a call. */
type Round = Readonly<Record<Arm, Readonly<Record<Option, number>>>>;

export async function measureGetsockopt(ground: Ground, plan: Plan): Promise<Part> {
	const count = plan.quick ? 20 : 200;
	await using _daemon = await startDaemon(ground, places.with);
	await using tool = await Tool.start(ground, 'toascope-getsockopt', [ground.cgroup(places.empty)]);
	for (const arm of arms) {
		ground.move(tool.child, places[arm]);
		await tool.ask(`socket ${arm}`);
	}
	const round = () => tool.ask<Round>(`round ${calls}`);
	plan.say(`getsockopt: ${count} rounds`);
	await round();
	const rounds: Round[] = [];
	const othersShare = watchOthers(ground);
	while (rounds.length < count) rounds.push(await round());
	return summarise(rounds, othersShare());
}

function judge({ median: middle }: Estimate, control: Estimate): Verdict {
	if (control.low < -controlSpreadNs || control.high > controlSpreadNs) return 'none';
	return middle <= atMostNs ? 'met' : 'falls short';
}

function summarise(rounds: readonly Round[], others: number): Part {
	const figures: Record<string, object> = {};
	const rows: Row[] = [];
	for (const [option, label] of Object.entries(options) as [Option, string][]) {
		const more = (arm: Arm, than: Arm) => compare(rounds, rounds, (round) => round[arm][option] - round[than][option]);
		const added = more('with', 'empty');
		const control = more('control', 'empty');
		const hook = more('with', 'without');
		const ns = Object.fromEntries(arms.map((arm) => [arm, median(rounds.map((round) => round[arm][option]))]));
		figures[option] = { added, control, hook, ns };
		const base = `${ns.without?.toFixed(0)} ns without a program`;
		const name = `getsockopt_${option}`;
		rows.push(
			{
				name,
				what: `getsockopt(${label}): what our program adds over one that does nothing`,
				value: `${show(added, 1)} ns`,
				aim: `at most ${atMostNs} ns`,
				verdict: judge(added, control),
				note: `control, the same program twice: ${show(control, 1)} ns`,
			},
			{
				name: `${name}_hook`,
				what: `getsockopt(${label}): what the hook with our program adds in all`,
				value: `${show(hook, 1)} ns`,
				aim: '',
				verdict: 'none',
				note: `${base}; others took ${(others * 100).toFixed(0)} % of the processors`,
			},
		);
	}
	return { figures: { ...figures, rounds: rounds.length, calls, others_share: others }, rows };
}
