// SPDX-License-Identifier: Apache-2.0
/** Measures what `accept: off` saves per connection. */
import { measureBpfTime } from './bpf_time.ts';
import { measureCpuDifference } from './cpu_difference.ts';
import { DaemonArm } from './daemon_arm.ts';
import { Generator } from './generator.ts';
import { compare, formatEstimate, spreadNote } from './pairs.ts';
import type { Part, Plan } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';

const clients = 1000;

export async function measureAcceptOff(sandbox: Sandbox, plan: Plan): Promise<Part> {
	await using on = await DaemonArm.start(sandbox, { name: 'on' });
	await using off = await DaemonArm.start(sandbox, { name: 'off', config: 'accept: off' });
	await using generator = await Generator.start(sandbox, clients);
	const { times } = await measureBpfTime(sandbox, plan, 'accept_off', generator, [on, off]);
	const cpu = await measureCpuDifference(plan, 'accept_off', generator, off, on);
	const [withAccepts, without] = times;
	if (withAccepts === undefined || without === undefined) throw new RangeError('an arm was not measured');
	const saved = compare(withAccepts.path, without.path, (one, other) => one - other);
	const ns = (values: readonly number[]) => Math.round(median(values));
	return {
		figures: { saved_ns: saved, on: withAccepts, off: without, cpu_saved_microseconds: cpu.more, cpu },
		rows: [
			{
				name: 'accept_off',
				what: 'BPF time that `accept: off` saves on the path of an accepted connection',
				value: `${formatEstimate(saved, 0)} ns`,
				aim: '',
				verdict: 'none',
				note: `${ns(withAccepts.path)} / ${ns(without.path)} ns, in sweeps ${ns(withAccepts.sweep)} / ${ns(without.sweep)} ns; net of statistics overhead`,
			},
			{
				name: 'accept_off_cpu',
				what: 'CPU time that `accept: off` saves per connection, both ends and the daemon',
				value: `${formatEstimate(cpu.more, 2)} µs`,
				aim: '',
				verdict: 'none',
				note: `${cpu.micros.other.toFixed(2)} / ${cpu.micros.base.toFixed(2)} µs, ${cpu.rounds} pairs; off / off ${formatEstimate(cpu.control)}: ${spreadNote(cpu.control)}`,
			},
		],
	};
}
