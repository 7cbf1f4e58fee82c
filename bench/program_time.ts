// SPDX-License-Identifier: Apache-2.0
/**
 * Measures nanoseconds per accepted connection in toascope's BPF programs, on the server's side
 * only: the client's sockets are in another cgroup, where the programs are not attached. The
 * kernel's statistics add some of their own overhead to each run; programs that do nothing show how
 * much.
 */
import { type BpfTimes, measureBpfTime } from './bpf_time.ts';
import { DaemonArm } from './daemon_arm.ts';
import { Generator } from './generator.ts';
import { compare, formatEstimate } from './pairs.ts';
import { isSweep } from './program_counts.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';

/**
 * Limits net of statistics overhead: for the time that delays the connection itself, and for its
 * later sweep.
 */
const atMostNs = { path: 700, sweep: 250 };
const clients = 1000;

export async function measureProgramTime(sandbox: Sandbox, plan: Plan): Promise<Part> {
	await using arm = await DaemonArm.start(sandbox, { name: 'with' });
	await using against =
		plan.against && (await DaemonArm.start(sandbox, { name: 'against', program: plan.against.program }));
	await using generator = await Generator.start(sandbox, clients);
	const arms = against === undefined ? [arm] : [arm, against];
	return summarise(await measureBpfTime(sandbox, plan, 'program_time', generator, arms), plan);
}

function summarise({ times, emptyNs, repeats, connections }: BpfTimes, plan: Plan): Part {
	const [ours, theirs] = times;
	if (ours === undefined) throw new RangeError('no arm was measured');
	const { programs, gross } = ours;
	const [pathNs, sweepNs] = [median(ours.path), median(ours.sweep)];
	const ratio = theirs && compare(ours.net, theirs.net, (own, other) => own / other);
	const row = (name: string, what: string, value: number, aim = '', met = false, note?: string): Row => ({
		name: `program_time${name}`,
		what,
		value: `${Math.round(value)} ns`,
		aim,
		verdict: aim === '' ? 'none' : met ? 'met' : 'falls short',
		...(note === undefined ? {} : { note }),
	});
	const net = 'net of statistics overhead';
	const aim = (most: number) => `at most ${most} ns`;
	return {
		figures: {
			total_ns: median(gross),
			total_ns_least: Math.min(...gross),
			total_ns_most: Math.max(...gross),
			path_net_ns: pathNs,
			sweep_net_ns: sweepNs,
			empty_call_ns: emptyNs,
			programs,
			repeats,
			connections_each: connections,
			...(theirs && {
				against: { commit: plan.against?.commit, ratio, net_ns: theirs.net, programs: theirs.programs },
			}),
		},
		rows: [
			row(
				'',
				'BPF time on the path of an accepted connection, server side, all programs except the sweep',
				pathNs,
				aim(atMostNs.path),
				pathNs <= atMostNs.path,
				net,
			),
			row(
				'_sweep',
				'BPF time in sweeps per closed connection',
				sweepNs,
				aim(atMostNs.sweep),
				sweepNs <= atMostNs.sweep,
				net,
			),
			...programs
				.filter(({ program }) => !isSweep(program))
				.map(({ program, runs, ns, net_ns }) => {
					const note = `${runs.toFixed(2)} runs per connection, ${Math.round(net_ns)} ns net`;
					return row(`_${program}`, `BPF time of ${program} per accepted connection`, ns, '', false, note);
				}),
			row('_empty', 'a call of a sockops program that does nothing', emptyNs.sockops ?? Number.NaN),
			...(ratio && theirs && plan.against
				? [
						{
							name: 'program_time_against',
							what: `BPF time per accepted connection, sweeps included, this tree / ${plan.against.name}`,
							value: formatEstimate(ratio),
							aim: '',
							verdict: 'none' as const,
							note: `${Math.round(median(ours.net))} / ${Math.round(median(theirs.net))} ns; on the path ${Math.round(pathNs)} / ${Math.round(median(theirs.path))} ns; ${net}`,
						},
					]
				: []),
		],
	};
}
