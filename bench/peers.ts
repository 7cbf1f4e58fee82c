// SPDX-License-Identifier: Apache-2.0
/** toascope beside other tools that tell of connections, on the same load, in one virtual machine. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ToascopeError } from '../daemon/errors.ts';
import { runGuest } from '../test/vm/guest.ts';
import { kernels } from '../test/vm/kernels.ts';
import { lacking } from '../test/vm/matrix.ts';
import { fetchKernel } from '../test/vm/packages.ts';
import type { Ground } from './ground.ts';
import { fetchPeerTools } from './peer_tools.ts';
import type { PeerRun, Stretch } from './peers_guest.ts';
import { aim, atMost, leaveOut, question } from './peers_here.ts';
import type { Part, Plan, Row } from './result.ts';
import { median } from './statistics.ts';

const emulated = `${question}, in a virtual machine`;
/** Stretches without a tool that differ by more give no verdict. */
const bareSpread = 0.1;
/** The release of Debian that the tools are from has this kernel. */
const kernelName = '6.1';
const tree = join(import.meta.dirname, '..');
const limitSeconds = 1800;

export async function measurePeers(_ground: Ground, plan: Plan): Promise<Part> {
	const missing = lacking();
	if (missing !== undefined) return leaveOut('peers', missing);
	const kernel = kernels.find(({ name }) => name === kernelName);
	if (kernel === undefined) return leaveOut('peers', `no kernel ${kernelName} in the matrix`);
	let fetched: Awaited<ReturnType<typeof fetchKernel>>;
	let tools: string;
	try {
		plan.say('peers: packages');
		[fetched, tools] = [await fetchKernel(kernel), await fetchPeerTools()];
	} catch (error) {
		return leaveOut('peers', (error as Error).message.split('\n', 1)[0] ?? '');
	}
	plan.say('peers: a virtual machine');
	const script = join(tree, 'bench/peers_guest.sh');
	const run = [tools, plan.quick ? '2' : '7', plan.quick ? '1' : '2'];
	const directory = join(tree, 'build/bench/peers');
	const steps = [{ name: 'peers', command: ['sh', script, fetched.headers, ...run] }];
	let stretches: Stretch[] | undefined;
	const { report, log } = await runGuest({ fetched, steps, directory, limitSeconds });
	for (const [, json = ''] of readFileSync(log, 'utf8').matchAll(/^peers: (.*)$/gm))
		stretches = JSON.parse(json) as Stretch[];
	if (stretches === undefined || report.failed > 0) {
		throw new ToascopeError(
			'LAB_FAILED',
			`the guest: ${[...report.troubles, ...report.steps.flatMap(({ failures }) => failures)].join('; ')}; see ${log}`,
		);
	}
	return summarise(stretches, fetched.release);
}

interface Arm extends Stretch {
	readonly rate: number;
	readonly ratio: number;
	readonly cpuMicros: number;
	readonly added: number;
	readonly toolShare: number;
}

/** Each against the stretches without a tool before and after it. */
function summarise(stretches: readonly Stretch[], release: string): Part {
	const middle = (runs: readonly PeerRun[], read: (run: PeerRun) => number) => median(runs.map(read));
	const arms = stretches.flatMap((stretch, index): Arm[] => {
		if (stretch.name === 'bare') return [];
		const bare = [...(stretches[index - 1]?.runs ?? []), ...(stretches[index + 1]?.runs ?? [])];
		const [rate, cpuMicros] = [middle(stretch.runs, (run) => run.rate), middle(stretch.runs, (run) => run.cpuMicros)];
		return [
			{
				...stretch,
				rate,
				cpuMicros,
				ratio: rate / middle(bare, (run) => run.rate),
				added: cpuMicros - middle(bare, (run) => run.cpuMicros),
				toolShare: middle(stretch.runs, (run) => run.toolShare),
			},
		];
	});
	const bares = stretches.filter(({ name }) => name === 'bare');
	const bare = bares.flatMap(({ runs }) => runs);
	const levels = bares.map(({ runs }) => middle(runs, (run) => run.cpuMicros));
	const spread = Math.max(...levels) / Math.min(...levels) - 1;
	const added = (name: string) => arms.find((arm) => arm.name === name)?.added ?? Number.NaN;
	const share = added('toascope') / added('tcplife');
	const row = (name: string, what: string, rate: number, note: string): Row => ({
		name: `peers_${name}`,
		what: `in a virtual machine, Linux ${release}: ${what}`,
		value: `${rate.toFixed(0)} connections/s`,
		aim: '',
		verdict: 'none',
		note,
	});
	return {
		figures: { kernel: release, share, spread, arms, bare },
		rows: [
			{
				name: 'peers',
				what: emulated,
				value: share.toFixed(2),
				aim,
				verdict: spread > bareSpread ? 'none' : share <= atMost ? 'met' : 'falls short',
				note: `${added('toascope').toFixed(1)} / ${added('tcplife').toFixed(1)} µs on emulated processors; without a tool they spread by ${(spread * 100).toFixed(0)} %`,
			},
			row(
				'bare',
				'no tool',
				middle(bare, (run) => run.rate),
				`${middle(bare, (run) => run.cpuMicros).toFixed(0)} µs of CPU for a connection`,
			),
			...arms.map(({ name, what, rate, ratio, cpuMicros, toolShare }) =>
				row(
					name,
					what,
					rate,
					`${ratio.toFixed(3)} of the rate without; ${cpuMicros.toFixed(0)} µs for a connection; its process took ${(toolShare * 100).toFixed(0)} % of a core`,
				),
			),
		],
	};
}
