// SPDX-License-Identifier: Apache-2.0
/** Throughput of a few connections that carry as much as they can, with toascope against without. */
import { daemonPlace, startDaemon, whenClosed } from './daemon.ts';
import type { Ground } from './ground.ts';
import { watchOthers } from './machine.ts';
import { compare, judge, show, spreadNote } from './pairs.ts';
import type { Part, Plan } from './result.ts';
import { type Control, runRounds } from './rounds.ts';
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
	/** Of both ends and the daemon. */
	readonly cpuSecondsPerByte: number;
}

const throughputRatio = (run: Stretch, without: Stretch) => run.bytesPerSecond / without.bytesPerSecond;
const control: Control<Arm, Stretch> = { arm: 'control', against: 'without', how: throughputRatio };

export async function measureBulk(ground: Ground, plan: Plan): Promise<Part> {
	await using daemon = await startDaemon(ground, 'with');
	await using load = await Streams.start(ground);
	let made = 0;

	/** The daemon works on the same processors: without it means that it stands still, too. */
	const once = async (arm: Arm): Promise<Stretch> => {
		daemon.child.kill(arm === 'with' ? 'SIGCONT' : 'SIGSTOP');
		const before = ground.cpuSeconds(daemonPlace);
		const { client, server } = await load.run(arm, seconds, streams);
		if (arm === 'with') made += client.connections;
		const bytes = client.sent_bytes + client.received_bytes;
		const cpuSeconds = client.cpu_seconds + server.cpu_seconds + ground.cpuSeconds(daemonPlace) - before;
		return { bytesPerSecond: bytes / client.seconds, cpuSecondsPerByte: cpuSeconds / bytes };
	};

	const othersShare = watchOthers(ground);
	const { runs } = await runRounds(plan, 'bulk', arms, control, once).finally(() => daemon.child.kill('SIGCONT'));
	const others = othersShare();
	await whenClosed(ground, daemon, made);
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
				value: show(throughput),
				aim: `at least ${atLeast}`,
				verdict: judge(throughput, ofControl, atLeast),
				note: `${gib('with')} / ${gib('without')} GiB/s, ${runs.with.length} pairs`,
			},
			{
				name: 'bulk_control',
				what: `throughput of ${streams} streams, control, without / without`,
				value: show(ofControl),
				aim: '',
				verdict: 'none',
				note: `${spreadNote(ofControl)}; others took ${(others * 100).toFixed(0)} % of the processors`,
			},
			{
				name: 'bulk_cpu',
				what: `CPU time for a byte of ${streams} streams, both ends and the daemon, with / without`,
				value: show(cpu),
				aim: '',
				verdict: 'none',
			},
		],
	};
}
