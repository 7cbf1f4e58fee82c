// SPDX-License-Identifier: Apache-2.0
/** What the runs of a rate say: ratios of pairs, how sure they are, and the verdict. */
import type { Against } from './against.ts';
import type { ArmRun } from './daemon_arm.ts';
import type { Run } from './load.ts';
import { compare, judge, show, spreadNote } from './pairs.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Control } from './rounds.ts';
import { estimate, median } from './statistics.ts';

export type Arm = 'with' | 'without' | 'control' | 'floor' | 'server' | 'against';

export function armsOf({ against }: Plan): readonly Arm[] {
	return ['with', 'without', 'control', 'floor', 'server', ...(against === undefined ? [] : ['against' as const])];
}

/** One of each arm for each round; none of an arm that is not measured. */
export type Runs = Readonly<Record<Arm, ArmRun[]>>;

export interface Kind {
	/** Of the part; the names of its rows begin with it. */
	readonly name: string;
	/** What serves the requests, for people. */
	readonly server: string;
	/** With toascope / without, of the rate. */
	readonly atLeast: number;
	/** Microseconds of processor time that toascope adds to a connection, its daemon's with them. */
	readonly addsAtMost?: number;
}

const aimOf = ({ atLeast }: Kind) => `at least ${atLeast}`;
const question = ({ server }: Kind) => `${server}: accepted connections per second, with toascope / without`;

const rateOf = ({ rate }: Run) => rate;
const cpuOf = ({ cpuSeconds, connections }: Run) => (cpuSeconds / connections) * 1e6;

const daemonOf = ({ daemonCpuSeconds, connections }: ArmRun) => (daemonCpuSeconds / connections) * 1e6;

const rateRatio = (run: Run, without: Run) => rateOf(run) / rateOf(without);
export const control: Control<Arm, Run> = { arm: 'control', against: 'without', how: rateRatio };
const cpuRatio = (run: Run, without: Run) => cpuOf(run) / cpuOf(without);
const cpuMore = (run: Run, without: Run) => cpuOf(run) - cpuOf(without);

function whole(value: number | undefined): string {
	return (value ?? Number.NaN).toFixed(0);
}

/** The part that cannot be measured on this machine. */
export function leaveOut(kind: Kind, reason: string): Part {
	return {
		figures: { left_out: reason },
		rows: [
			{ name: kind.name, what: question(kind), value: 'left out', aim: aimOf(kind), verdict: 'none', note: reason },
		],
	};
}

/** `others`: the share of all processors that others took meanwhile. */
export function summarise(kind: Kind, measured: Partial<Runs>, seconds: number, others: number, than?: Against): Part {
	const runs: Runs = { with: [], without: [], control: [], floor: [], server: [], against: [], ...measured };
	const arms = (Object.keys(runs) as Arm[]).filter((arm) => runs[arm].length > 0);
	const older = than && compareVersions(runs);
	const against = (arm: Arm, how: (run: Run, without: Run) => number) => compare(runs[arm], runs.without, how);
	const rate = against('with', rateRatio);
	const server = against('server', rateRatio);
	const ofControl = against('control', rateRatio);
	const floor = against('floor', rateRatio);
	const cpu = against('with', cpuRatio);
	const added = against('with', cpuMore);
	const addedServer = against('server', cpuMore);
	const addedFloor = against('floor', cpuMore);
	const verdict = judge(rate, ofControl, kind.atLeast);
	const medians = (read: (run: Run) => number) =>
		Object.fromEntries(arms.map((arm) => [arm, Number(median(runs[arm].map(read)).toFixed(2))]));
	const perSecond = medians(rateOf);
	const microseconds = medians(cpuOf);
	const daemon = median(runs.with.map(daemonOf));
	const row = (name: string, what: string, value: string, note: string): Row => ({
		name: `${kind.name}_${name}`,
		what: `${kind.server}: ${what}`,
		value,
		aim: '',
		verdict: 'none',
		note,
	});
	return {
		figures: {
			ratio: rate,
			ratio_server_end_alone: server,
			ratio_control: ofControl,
			ratio_floor: floor,
			ratio_cpu_per_connection: cpu,
			added_cpu_microseconds: added,
			added_cpu_microseconds_server_end_alone: addedServer,
			added_cpu_microseconds_floor: addedFloor,
			daemon_cpu_microseconds: Number(daemon.toFixed(3)),
			connections_per_second: perSecond,
			cpu_microseconds_per_connection: microseconds,
			others_share: Number(others.toFixed(3)),
			rounds: runs.with.length,
			seconds_each: seconds,
			connections: arms.flatMap((arm) => runs[arm]).reduce((all, { connections }) => all + connections, 0),
			runs_per_second: Object.fromEntries(arms.map((arm) => [arm, runs[arm].map((run) => Math.round(run.rate))])),
			...(older && { against: { commit: than?.commit, ...older } }),
		},
		rows: [
			{
				name: kind.name,
				what: question(kind),
				value: show(rate),
				aim: aimOf(kind),
				verdict,
				note: `${whole(perSecond.with)} / ${whole(perSecond.without)} per second, ${runs.with.length} pairs`,
			},
			row(
				'control',
				'control, without / without',
				show(ofControl),
				`${spreadNote(ofControl)}; others took ${(others * 100).toFixed(0)} % of the processors`,
			),
			row(
				'server',
				'the rate where toascope sees the server end alone',
				show(server),
				`${whole(perSecond.server)} per second`,
			),
			row(
				'floor',
				'programs that do nothing on the same hooks / without',
				show(floor),
				`${whole(perSecond.floor)} per second; they add ${show(addedFloor, 2)} µs`,
			),
			row(
				'cpu',
				'CPU time for a connection, both ends, with / without',
				show(cpu),
				`${microseconds.with} / ${microseconds.without} µs`,
			),
			{
				...row(
					'added',
					'CPU time that toascope adds to a connection',
					`${show(added, 2)} µs`,
					`the server end alone: ${show(addedServer, 2)} µs; the daemon besides: ${daemon.toFixed(2)} µs`,
				),
				...(kind.addsAtMost !== undefined && {
					aim: `at most ${kind.addsAtMost} µs with the daemon`,
					verdict: added.median + daemon <= kind.addsAtMost ? 'met' : 'falls short',
				}),
			},
			...(older && than
				? [
						row(
							'against',
							`accepted connections per second, with toascope / with ${than.name}`,
							show(older.ratio),
							`${whole(perSecond.with)} / ${whole(perSecond.against)} per second`,
						),
						row(
							'against_added',
							`CPU time that toascope and its daemon add to a connection, of what ${than.name} adds`,
							show(older.added_ratio),
							`${show(older.added, 2)} / ${show(older.added_by_other, 2)} µs`,
						),
					]
				: []),
		],
	};
}

/** What either version's programs and daemon cost in the same rounds. */
function compareVersions({ with: ours, against: theirs, without }: Runs) {
	const wholeOf = (run: ArmRun) => cpuOf(run) + daemonOf(run);
	const costs = (runs: readonly ArmRun[]) => runs.map((run, round) => wholeOf(run) - cpuOf(without[round] as Run));
	const [own, others] = [costs(ours), costs(theirs)];
	return {
		ratio: compare(ours, theirs, rateRatio),
		added: estimate(own),
		added_by_other: estimate(others),
		added_ratio: compare(own, others, (cost, other) => cost / other),
	};
}
