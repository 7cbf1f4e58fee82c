// SPDX-License-Identifier: Apache-2.0
/**
 * Measures the cost of a connection whose slots in the table are all used by open connections, so
 * that its state goes to socket storage.
 */
import { ToascopeError } from '../daemon/errors.ts';
import { total } from '../test/kit/telemetry/metrics.ts';
import { measureBpfTime } from './bpf_time.ts';
import { measureCpuDifference } from './cpu_difference.ts';
import { DaemonArm } from './daemon_arm.ts';
import { Generator } from './generator.ts';
import { Holding } from './holding.ts';
import { compare, formatEstimate, spreadNote } from './pairs.ts';
import type { Part, Plan } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';

const clients = 1000;
const slots = 1024;
/** Each connection tries four slots; this many open connections leave none of them free. */
const held = 8 * slots;

export async function measureFallback(sandbox: Sandbox, plan: Plan): Promise<Part> {
	await using usual = await DaemonArm.start(sandbox, { name: 'usual' });
	await using full = await DaemonArm.start(sandbox, { name: 'full', config: `connections: {max: ${slots}}` });
	await using holding = await Holding.start(sandbox, clients);
	await using generator = await Generator.start(sandbox, clients);
	full.resume();
	await holding.hold({ server: full.name, client: 'without' }, held);
	/** Number of connections whose state went to socket storage, since the daemon's start. */
	const inStorage = async () =>
		Number(total(await full.counted(), 'toascope_drops_total', { reason: 'connections_full' }));
	await full.daemon.until(
		(samples) => total(samples, 'toascope_connections_opened_total') === BigInt(held) || undefined,
	);
	const heldInStorage = await inStorage();
	full.pause();
	const { times } = await measureBpfTime(sandbox, plan, 'fallback', generator, [usual, full]);
	const cpu = await measureCpuDifference(plan, 'fallback', generator, usual, full);
	full.resume();
	const loadInStorage = (await inStorage()) - heldInStorage;
	if (heldInStorage < held - slots || loadInStorage !== full.closed) {
		throw new ToascopeError(
			'LAB_FAILED',
			`${loadInStorage} of ${full.closed} connections of the load went to socket storage, and ${heldInStorage} of those held open`,
		);
	}
	await holding.drop();
	const [inTable, inSocketStorage] = times;
	if (inTable === undefined || inSocketStorage === undefined) throw new RangeError('an arm was not measured');
	const more = compare(inSocketStorage.net, inTable.net, (one, other) => one - other);
	const ns = (values: readonly number[]) => Math.round(median(values));
	return {
		figures: {
			net_ns: median(inSocketStorage.net),
			more_ns: more,
			full: inSocketStorage,
			usual: inTable,
			cpu_more_microseconds: cpu.more,
			cpu,
		},
		rows: [
			{
				name: 'fallback',
				what: 'BPF time per accepted connection in socket storage (all its slots in use), sweeps included',
				value: `${ns(inSocketStorage.net)} ns`,
				aim: '',
				verdict: 'none',
				note: `${formatEstimate(more, 0)} ns more than one in the table, which takes ${ns(inTable.path)} ns on its path and ${ns(inTable.sweep)} ns in sweeps; net of statistics overhead`,
			},
			{
				name: 'fallback_cpu',
				what: 'additional CPU time of a connection in socket storage over one in the table, both ends and the daemon',
				value: `${formatEstimate(cpu.more, 2)} µs`,
				aim: '',
				verdict: 'none',
				note: `${cpu.micros.other.toFixed(2)} / ${cpu.micros.base.toFixed(2)} µs, ${cpu.rounds} pairs; table / table ${formatEstimate(cpu.control)}: ${spreadNote(cpu.control)}`,
			},
		],
	};
}
