// SPDX-License-Identifier: Apache-2.0
/**
 * Measures the throughput of a few connections that carry as much data as they can, with toascope
 * and without.
 */
import { daemonCgroup, startDaemon, untilClosed } from './daemon.ts';
import { watchOtherProcesses } from './machine.ts';
import { compare, formatEstimate, spreadNote, verdictOf } from './pairs.ts';
import type { Part, Plan } from './result.ts';
import { type Control, runRounds } from './rounds.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';
import { Streams } from './streams.ts';

const atLeast = 0.99;
const streams = 8;
const seconds = 0.4;

const arms = ['with', 'without', 'control'] as const;
type Arm = (typeof arms)[number];
type Runs = Readonly<Record<Arm, Stretch[]>>;

interface Stretch {
	readonly bytesPerSecond: number;
	/** CPU time of both ends and the daemon. */
	readonly cpuSecondsPerByte: number;
}

const throughputRatio = (run: Stretch, without: Stretch) => run.bytesPerSecond / without.bytesPerSecond;
const control: Control<Arm, Stretch> = { arm: 'control', against: 'without', how: throughputRatio };

export async function measureBulk(sandbox: Sandbox, plan: Plan): Promise<Part> {
	await using daemon = await startDaemon(sandbox, 'with');
	await using load = await Streams.start(sandbox);
	let made = 0;

	/** The daemon uses the same processors, so it is stopped in the arms without it. */
	const once = async (arm: Arm): Promise<Stretch> => {
		daemon.child.kill(arm === 'with' ? 'SIGCONT' : 'SIGSTOP');
		const before = sandbox.cpuSeconds(daemonCgroup);
		const { client, server } = await load.run(arm, seconds, streams);
		if (arm === 'with') made += client.connections;
		const bytes = client.sent_bytes + client.received_bytes;
		const cpuSeconds = client.cpu_seconds + server.cpu_seconds + sandbox.cpuSeconds(daemonCgroup) - before;
		return { bytesPerSecond: bytes / client.seconds, cpuSecondsPerByte: cpuSeconds / bytes };
	};

	const othersShare = watchOtherProcesses(sandbox);
	const { runs } = await runRounds(plan, 'bulk', arms, control, once).finally(() => daemon.child.kill('SIGCONT'));
	const others = othersShare();
	await untilClosed(sandbox, daemon, made);
	return summarise(runs, others);
}

function summarise(runs: Runs, others: number): Part {
	const against = (arm: Arm, how: (run: Stretch, without: Stretch) => number) => compare(runs[arm], runs.without, how);
	const throughput = against('with', throughputRatio);
	const ofControl = against('control', throughputRatio);
	const cpu = against('with', (run, without) => run.cpuSecondsPerByte / without.cpuSecondsPerByte);
	const bytesPerSecond = (arm: Arm) => median(runs[arm].map((run) => run.bytesPerSecond));
	const gib = (arm: Arm) => (bytesPerSecond(arm) / 2 ** 30).toFixed(2);
	return {
		figures: {
			throughput,
			control: ofControl,
			cpu,
			others_share: others,
			seconds,
			streams,
			bytes_per_second: Object.fromEntries(arms.map((arm) => [arm, Math.round(bytesPerSecond(arm))])),
			pairs: runs.with.map((run, round) => throughputRatio(run, runs.without[round] as Stretch)),
		},
		rows: [
			{
				name: 'bulk',
				what: `throughput of ${streams} streams, with toascope / without`,
				value: formatEstimate(throughput),
				aim: `at least ${atLeast}`,
				verdict: verdictOf(throughput, ofControl, atLeast),
				note: `${gib('with')} / ${gib('without')} GiB/s, ${runs.with.length} pairs`,
			},
			{
				name: 'bulk_control',
				what: `throughput of ${streams} streams, control, without / without`,
				value: formatEstimate(ofControl),
				aim: '',
				verdict: 'none',
				note: `${spreadNote(ofControl)}; other processes took ${(others * 100).toFixed(0)} % of the processors`,
			},
			{
				name: 'bulk_cpu',
				what: `CPU time per byte of ${streams} streams, both ends and the daemon, with / without`,
				value: formatEstimate(cpu),
				aim: '',
				verdict: 'none',
			},
		],
	};
}
