// SPDX-License-Identifier: Apache-2.0
/** What `provider: module` costs beside `provider: bpf` and beside nothing, in one virtual machine: this host may take no modules. */
import { join } from 'node:path';
import { buildModule } from '../test/vm/build.ts';
import type { Ground } from './ground.ts';
import { LeftOut, runInGuest, tree } from './in_guest.ts';
import { compare, show } from './pairs.ts';
import type { Part, Plan, Row } from './result.ts';
import { median } from './statistics.ts';

/** `control`: once more without any. */
export type ModuleArm = 'none' | 'bpf' | 'module' | 'control';

/** One arm in one round: medians of its runs. */
export interface ModuleTurn {
	/** Processor time of both ends, as the other. */
	readonly connectionMicros: number;
	/** Connections per second. */
	readonly rate: number;
	/** For a segment that arrives at either end, acknowledgements among them. */
	readonly segmentMicros: number;
	/** Such segments for each call that sent one of data. */
	readonly segmentsForACall: number;
	/** Of the processor. An emulated one makes much of what a daemon does once a second: it is in no other figure. */
	readonly daemonShare: number;
}

type Turns = Readonly<Record<ModuleArm, readonly ModuleTurn[]>>;

/** The newest of the matrix that modules are built for on this machine. */
const kernelName = '6.12';
/**
 * The guest's clock counts instructions, 8 ns for each, on its only processor: so its processor time does not depend on what else
 * this machine does.
 */
const counted = { machineArguments: ['-icount', 'shift=3'], kernelArguments: ['nr_cpus=1'] };

const names = { module: '`provider: module`', bpf: '`provider: bpf`' };

export async function measureModule(_ground: Ground, plan: Plan): Promise<Part> {
	try {
		const { result, release } = await runInGuest<Turns>(plan, 'module', {
			kernelName,
			...counted,
			prepare: async (kernel, fetched) => {
				const module = await buildModule(kernel, fetched, join(tree, 'build/bench/module', fetched.release));
				const run = [module, plan.quick ? '2' : '4', '1'];
				return ['sh', join(tree, 'scripts/node.sh'), join(tree, 'bench/module_guest.ts'), ...run];
			},
		});
		return summarise(result, release);
	} catch (error) {
		if (!(error instanceof LeftOut)) throw error;
		const what = `CPU time for an accepted connection, both ends, ${names.module} / neither`;
		return {
			figures: { left_out: error.message },
			rows: [{ name: 'module', what, value: 'left out', aim: '', verdict: 'none', note: error.message }],
		};
	}
}

type Read = (turn: ModuleTurn) => number;

function summarise(turns: Turns, release: string): Part {
	const ratio = (arm: ModuleArm, read: Read) =>
		compare(turns[arm], turns.none, (turn, without) => read(turn) / read(without));
	const ratios = (read: Read) => ({
		module: ratio('module', read),
		bpf: ratio('bpf', read),
		control: ratio('control', read),
	});
	const of = {
		connection: { what: 'an accepted connection', read: (turn: ModuleTurn) => turn.connectionMicros },
		segment: { what: 'a segment that arrives', read: (turn: ModuleTurn) => turn.segmentMicros },
	};
	const emulated = `in an emulated guest, Linux ${release}: only the ratio means something`;
	const rowOf = (arm: keyof typeof names, each: keyof typeof of): Row => {
		const { what, read } = of[each];
		const micros = (which: ModuleArm) => median(turns[which].map(read)).toFixed(1);
		return {
			name: `module_${each}_${arm}`,
			what: `CPU time for ${what}, both ends, ${names[arm]} / neither`,
			value: show(ratio(arm, read)),
			aim: '',
			verdict: 'none',
			note: `${micros(arm)} / ${micros('none')} µs, ${turns.none.length} rounds; neither / neither ${show(ratio('control', read))}; ${emulated}`,
		};
	};
	return {
		figures: {
			kernel: release,
			connection: ratios(of.connection.read),
			segment: ratios(of.segment.read),
			turns,
		},
		rows: [
			rowOf('module', 'connection'),
			rowOf('bpf', 'connection'),
			rowOf('module', 'segment'),
			rowOf('bpf', 'segment'),
		],
	};
}
