// SPDX-License-Identifier: Apache-2.0
/**
 * Measures what `provider: module` costs, compared with `provider: bpf` and with neither. It runs
 * in a virtual machine, since this host may not allow loading modules.
 */
import { join } from 'node:path';
import { buildModule } from '../test/vm/build.ts';
import { PartUnavailable, runInGuest, tree } from './in_guest.ts';
import { compare, formatEstimate } from './pairs.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';

/** `control` is a second arm with no provider. */
export type ModuleArm = 'none' | 'bpf' | 'module' | 'control';

/** One arm in one round: medians of its runs. */
export interface ModuleSample {
	/** CPU time of both ends per connection. */
	readonly connectionMicros: number;
	/** Connections per second. */
	readonly rate: number;
	/** CPU time of both ends per segment that arrives at either end, acknowledgements included. */
	readonly segmentMicros: number;
	/** Number of such segments for each call that sent a segment of data. */
	readonly segmentsForACall: number;
	/**
	 * The daemon's share of the processor. No other figure includes it, because emulation
	 * exaggerates what a daemon does once a second.
	 */
	readonly daemonShare: number;
}

type SamplesByArm = Readonly<Record<ModuleArm, readonly ModuleSample[]>>;

/** The newest kernel of the matrix for which this machine can build modules. */
const kernelName = '6.12';
/**
 * The guest has one processor, and its clock advances by 8 ns per instruction, so that its CPU time
 * does not depend on the load of this machine.
 */
const counted = { machineArguments: ['-icount', 'shift=3'], kernelArguments: ['nr_cpus=1'] };

const names = { module: '`provider: module`', bpf: '`provider: bpf`' };

export async function measureModule(_ground: Sandbox, plan: Plan): Promise<Part> {
	try {
		const { result, release } = await runInGuest<SamplesByArm>(plan, 'module', {
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
		if (!(error instanceof PartUnavailable)) throw error;
		const what = `CPU time per accepted connection, both ends, ${names.module} / neither`;
		return {
			figures: { left_out: error.message },
			rows: [{ name: 'module', what, value: 'left out', aim: '', verdict: 'none', note: error.message }],
		};
	}
}

type Read = (sample: ModuleSample) => number;

function summarise(samples: SamplesByArm, release: string): Part {
	const ratio = (arm: ModuleArm, read: Read) =>
		compare(samples[arm], samples.none, (sample, without) => read(sample) / read(without));
	const ratios = (read: Read) => ({
		module: ratio('module', read),
		bpf: ratio('bpf', read),
		control: ratio('control', read),
	});
	const of = {
		connection: { what: 'accepted connection', read: (sample: ModuleSample) => sample.connectionMicros },
		segment: { what: 'arriving segment', read: (sample: ModuleSample) => sample.segmentMicros },
	};
	const emulated = `in an emulated guest, Linux ${release}: only the ratio is meaningful`;
	const rowOf = (arm: keyof typeof names, each: keyof typeof of): Row => {
		const { what, read } = of[each];
		const micros = (which: ModuleArm) => median(samples[which].map(read)).toFixed(1);
		return {
			name: `module_${each}_${arm}`,
			what: `CPU time per ${what}, both ends, ${names[arm]} / neither`,
			value: formatEstimate(ratio(arm, read)),
			aim: '',
			verdict: 'none',
			note: `${micros(arm)} / ${micros('none')} µs, ${samples.none.length} rounds; neither / neither ${formatEstimate(ratio('control', read))}; ${emulated}`,
		};
	};
	return {
		figures: {
			kernel: release,
			connection: ratios(of.connection.read),
			segment: ratios(of.segment.read),
			turns: samples,
		},
		rows: [
			rowOf('module', 'connection'),
			rowOf('bpf', 'connection'),
			rowOf('module', 'segment'),
			rowOf('bpf', 'segment'),
		],
	};
}
