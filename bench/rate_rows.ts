// SPDX-License-Identifier: Apache-2.0
/** Evaluates the runs of a rate: ratios of pairs, their confidence intervals, and the verdict. */
import type { ComparedVersion } from './against.ts';
import type { ArmRun } from './daemon_arm.ts';
import type { Run } from './load.ts';
import { compare, formatEstimate, spreadNote, verdictOf } from './pairs.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Control } from './rounds.ts';
import { estimate, median } from './statistics.ts';

export type Arm = 'with' | 'without' | 'control' | 'floor' | 'server' | 'against';

export function armsOf({ against }: Plan): readonly Arm[] {
	return ['with', 'without', 'control', 'floor', 'server', ...(against === undefined ? [] : ['against' as const])];
}

/** One run of each arm for each round; an arm that is not measured has none. */
export type Runs = Readonly<Record<Arm, ArmRun[]>>;

export interface Kind {
	/** The name of the part, with which the names of its rows begin. */
	readonly name: string;
	/** What serves the requests, for display. */
	readonly server: string;
	/** Limit of the ratio of the rates, with toascope / without. */
	readonly atLeast: number;
	/** Limit of the CPU microseconds that toascope and its daemon add per connection. */
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

/** The result of a part that cannot be measured on this machine. */
export function skippedPart(kind: Kind, reason: string): Part {
	return {
		figures: { left_out: reason },
		rows: [
			{ name: kind.name, what: question(kind), value: 'left out', aim: aimOf(kind), verdict: 'none', note: reason },
		],
	};
}

/** `others` is the share of the processors that other processes took meanwhile. */
export function summarise(
	kind: Kind,
	measured: Partial<Runs>,
	seconds: number,
	others: number,
	older?: ComparedVersion,
): Part {
	const runs: Runs = { with: [], without: [], control: [], floor: [], server: [], against: [], ...measured };
	const arms = (Object.keys(runs) as Arm[]).filter((arm) => runs[arm].length > 0);
	const comparison = older && compareVersions(runs);
	const against = (arm: Arm, how: (run: Run, without: Run) => number) => compare(runs[arm], runs.without, how);
	const rate = against('with', rateRatio);
	const server = against('server', rateRatio);
	const ofControl = against('control', rateRatio);
	const floor = against('floor', rateRatio);
	const cpu = against('with', cpuRatio);
	const added = against('with', cpuMore);
	const addedServer = against('server', cpuMore);
	const addedFloor = against('floor', cpuMore);
	const verdict = verdictOf(rate, ofControl, kind.atLeast);
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
			ratio_server_end_only: server,
			ratio_control: ofControl,
			ratio_floor: floor,
			ratio_cpu_per_connection: cpu,
			added_cpu_microseconds: added,
			added_cpu_microseconds_server_end_only: addedServer,
			added_cpu_microseconds_floor: addedFloor,
			daemon_cpu_microseconds: Number(daemon.toFixed(3)),
			connections_per_second: perSecond,
			cpu_microseconds_per_connection: microseconds,
			others_share: Number(others.toFixed(3)),
			rounds: runs.with.length,
			seconds_each: seconds,
			connections: arms.flatMap((arm) => runs[arm]).reduce((all, { connections }) => all + connections, 0),
			runs_per_second: Object.fromEntries(arms.map((arm) => [arm, runs[arm].map((run) => Math.round(run.rate))])),
			...(comparison && { against: { commit: older?.commit, ...comparison } }),
		},
		rows: [
			{
				name: kind.name,
				what: question(kind),
				value: formatEstimate(rate),
				aim: aimOf(kind),
				verdict,
				note: `${whole(perSecond.with)} / ${whole(perSecond.without)} per second, ${runs.with.length} pairs`,
			},
			row(
				'control',
				'control, without / without',
				formatEstimate(ofControl),
				`${spreadNote(ofControl)}; other processes took ${(others * 100).toFixed(0)} % of the processors`,
			),
			row(
				'server',
				'accepted connections per second, with toascope on the server end only / without',
				formatEstimate(server),
				`${whole(perSecond.server)} per second`,
			),
			row(
				'floor',
				'accepted connections per second, with programs that do nothing on the same hooks / without',
				formatEstimate(floor),
				`${whole(perSecond.floor)} per second; they add ${formatEstimate(addedFloor, 2)} µs`,
			),
			row(
				'cpu',
				'CPU time per connection, both ends, with / without',
				formatEstimate(cpu),
				`${microseconds.with} / ${microseconds.without} µs`,
			),
			{
				...row(
					'added',
					'CPU time that toascope adds per connection',
					`${formatEstimate(added, 2)} µs`,
					`the server end only: ${formatEstimate(addedServer, 2)} µs; the daemon in addition: ${daemon.toFixed(2)} µs`,
				),
				...(kind.addsAtMost !== undefined && {
					aim: `at most ${kind.addsAtMost} µs with the daemon`,
					verdict: added.median + daemon <= kind.addsAtMost ? 'met' : 'falls short',
				}),
			},
			...(comparison && older
				? [
						row(
							'against',
							`accepted connections per second, with toascope / with ${older.name}`,
							formatEstimate(comparison.ratio),
							`${whole(perSecond.with)} / ${whole(perSecond.against)} per second`,
						),
						row(
							'against_added',
							`CPU time that toascope and its daemon add per connection / that ${older.name} adds`,
							formatEstimate(comparison.added_ratio),
							`${formatEstimate(comparison.added, 2)} / ${formatEstimate(comparison.added_by_other, 2)} µs`,
						),
					]
				: []),
		],
	};
}

/** The costs of each version's programs and daemon in the same rounds. */
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
