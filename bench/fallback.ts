// SPDX-License-Identifier: Apache-2.0
/** What a connection costs whose slots in the table are all taken by open ones, so that its entry goes to its socket's storage. */
import { ToascopeError } from '../daemon/errors.ts';
import { total } from '../test/fixtures/metrics.ts';
import { measureBpfTime } from './bpf_time.ts';
import { measureCpuDifference } from './cpu_difference.ts';
import { DaemonArm } from './daemon_arm.ts';
import { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import { Holding } from './holding.ts';
import { compare, show, spreadNote } from './pairs.ts';
import type { Part, Plan } from './result.ts';
import { median } from './statistics.ts';

const clients = 1000;
const slots = 1024;
/** Each tries four slots: so many leave none of them. */
const held = 8 * slots;

export async function measureFallback(ground: Ground, plan: Plan): Promise<Part> {
	await using usual = await DaemonArm.start(ground, { name: 'usual' });
	await using full = await DaemonArm.start(ground, { name: 'full', config: `connections: {max: ${slots}}` });
	await using holding = await Holding.start(ground, clients);
	await using generator = await Generator.start(ground, clients);
	full.resume();
	await holding.hold({ server: full.name, client: 'without' }, held);
	/** Connections that have gone to their sockets' storage. */
	const inStorage = async () =>
		Number(total(await full.counted(), 'toascope_drops_total', { reason: 'connections_full' }));
	await full.daemon.until(
		(samples) => total(samples, 'toascope_connections_opened_total') === BigInt(held) || undefined,
	);
	const before = await inStorage();
	full.pause();
	const { times } = await measureBpfTime(ground, plan, 'fallback', generator, [usual, full]);
	const cpu = await measureCpuDifference(plan, 'fallback', generator, usual, full);
	full.resume();
	const went = (await inStorage()) - before;
	if (before < held - slots || went !== full.closed) {
		throw new ToascopeError(
			'LAB_FAILED',
			`of ${full.closed} connections ${went} went to socket storage, of those that are held ${before}`,
		);
	}
	await holding.drop();
	const [inTable, beside] = times;
	if (inTable === undefined || beside === undefined) throw new RangeError('an arm was not measured');
	const more = compare(beside.net, inTable.net, (one, other) => one - other);
	const ns = (values: readonly number[]) => Math.round(median(values));
	return {
		figures: {
			net_ns: median(beside.net),
			more_ns: more,
			full: beside,
			usual: inTable,
			cpu_more_microseconds: cpu.more,
			cpu,
		},
		rows: [
			{
				name: 'fallback',
				what: 'BPF time for an accepted connection in socket storage, all its slots taken, sweeps and all',
				value: `${ns(beside.net)} ns`,
				aim: '',
				verdict: 'none',
				note: `${show(more, 0)} ns more than one in the table, which takes ${ns(inTable.path)} ns on its path and ${ns(inTable.sweep)} ns in sweeps; without what the statistics themselves add`,
			},
			{
				name: 'fallback_cpu',
				what: 'CPU time that a connection in socket storage costs more than one in the table, both ends and the daemon',
				value: `${show(cpu.more, 2)} µs`,
				aim: '',
				verdict: 'none',
				note: `${cpu.micros.other.toFixed(2)} / ${cpu.micros.base.toFixed(2)} µs, ${cpu.rounds} pairs; table / table ${show(cpu.control)}: ${spreadNote(cpu.control)}`,
			},
		],
	};
}
