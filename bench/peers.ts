// SPDX-License-Identifier: Apache-2.0
/**
 * Compares toascope with other tools that report connections, on the same load, in one virtual
 * machine.
 */
import { join } from 'node:path';
import { PartUnavailable, runInGuest, tree } from './in_guest.ts';
import { fetchTools } from './peer_tools.ts';
import type { Stretch, ToolRun } from './peers_guest.ts';
import { aim, atMost, rowTitle, skippedPart } from './peers_here.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';

const emulated = `${rowTitle}, in a virtual machine`;
/** There is no verdict if the stretches without a tool differ by more. */
const bareSpread = 0.1;
/** The kernel of the Debian release that the tools come from. */
const kernelName = '6.1';

export async function measurePeers(_ground: Sandbox, plan: Plan): Promise<Part> {
	try {
		const { result, release } = await runInGuest<Stretch[]>(plan, 'peers', {
			kernelName,
			prepare: async (_kernel, { headers }) => {
				const run = [await fetchTools(), plan.quick ? '2' : '7', plan.quick ? '1' : '2'];
				return ['sh', join(tree, 'bench/peers_guest.sh'), headers, ...run];
			},
		});
		return summarise(result, release);
	} catch (error) {
		if (error instanceof PartUnavailable) return skippedPart('peers', error.message);
		throw error;
	}
}

interface Arm extends Stretch {
	readonly rate: number;
	readonly ratio: number;
	readonly cpuMicros: number;
	readonly added: number;
	readonly toolShare: number;
}

/** Compares each tool with the stretches without a tool before and after it. */
function summarise(stretches: readonly Stretch[], release: string): Part {
	const middle = (runs: readonly ToolRun[], read: (run: ToolRun) => number) => median(runs.map(read));
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
				note: `${added('toascope').toFixed(1)} / ${added('tcplife').toFixed(1)} µs on emulated processors; stretches without a tool differ by ${(spread * 100).toFixed(0)} %`,
			},
			row(
				'bare',
				'no tool',
				middle(bare, (run) => run.rate),
				`${middle(bare, (run) => run.cpuMicros).toFixed(0)} µs of CPU per connection`,
			),
			...arms.map(({ name, what, rate, ratio, cpuMicros, toolShare }) =>
				row(
					name,
					what,
					rate,
					`${ratio.toFixed(3)} of the rate without a tool; ${cpuMicros.toFixed(0)} µs per connection; its process took ${(toolShare * 100).toFixed(0)} % of a core`,
				),
			),
		],
	};
}
