// SPDX-License-Identifier: Apache-2.0
/**
 * Accepted connections per second with toascope against without. Each round runs its arms next
 * to each other, in turns forwards and backwards:
 *
 *	with	 the programs see both ends of each connection, as on any host that talks to itself
 *	without	 no program of ours
 *	control	 the same once more: control/without tells what a pair is worth on this machine
 *	server	 the programs see the server's end alone, as on a host whose clients are elsewhere
 */
import { startDaemon, whenClosed } from './daemon.ts';
import { Generator, type Places, type Run } from './generator.ts';
import type { Ground } from './ground.ts';
import type { Part, Plan, Row, Verdict } from './result.ts';
import { type Estimate, estimate, median } from './statistics.ts';

const atLeast = 0.97;
/** A control whose interval leaves 1 by more gives no verdict. */
const controlSpread = 0.01;
const clients = 1000;

type Arm = 'with' | 'without' | 'control' | 'server';
const arms: readonly Arm[] = ['with', 'without', 'control', 'server'];
/** The cgroup that the daemon is attached to. */
const watched = 'watched';
const places: Readonly<Record<Arm, Places>> = {
	with: { server: watched, client: watched },
	without: { server: 'without', client: 'without' },
	control: { server: 'control', client: 'control' },
	server: { server: watched, client: 'without' },
};

type Runs = Readonly<Record<Arm, Run[]>>;

export async function measureRate(ground: Ground, plan: Plan): Promise<Part> {
	const rounds = plan.quick ? 10 : 60;
	const seconds = 0.5;
	await using daemon = await startDaemon(ground, watched);
	await using generator = await Generator.start(ground, clients);

	/** The daemon works on the same processors: without it means that it stands still, too. */
	const once = (arm: Arm): Promise<Run> => {
		daemon.child.kill(places[arm].server === watched ? 'SIGCONT' : 'SIGSTOP');
		return generator.run(places[arm], { seconds });
	};

	const warmUp = noRuns();
	const runs = noRuns();
	try {
		for (const arm of arms) warmUp[arm].push(await once(arm));
		for (let round = 0; round < rounds; round++) {
			plan.say(`rate: round ${round + 1} of ${rounds}`);
			for (const arm of round % 2 === 0 ? arms : arms.toReversed()) runs[arm].push(await once(arm));
		}
	} finally {
		daemon.child.kill('SIGCONT');
	}
	// no fewer and no more: the programs ran in these arms, and in no other
	const seen = [warmUp, runs].flatMap((each) => [...each.with, ...each.server]);
	await whenClosed(ground, daemon, sum(seen.map(({ connections }) => connections)));
	return summarise(runs, seconds);
}

function noRuns(): Runs {
	return { with: [], without: [], control: [], server: [] };
}

function sum(values: readonly number[]): number {
	return values.reduce((all, value) => all + value, 0);
}

/** Against the run without toascope of the same round. */
function ratio(runs: Runs, arm: Arm, read: (run: Run) => number): Estimate {
	return estimate(runs[arm].map((run, round) => read(run) / read(runs.without[round] as Run)));
}

const rateOf = ({ rate }: Run) => rate;
const cpuOf = ({ cpuSeconds, connections }: Run) => (cpuSeconds / connections) * 1e6;

function judge(rate: Estimate, control: Estimate): Verdict {
	if (control.low < 1 - controlSpread || control.high > 1 + controlSpread) return 'none';
	return rate.median >= atLeast ? 'met' : 'falls short';
}

function show({ median: middle, low, high }: Estimate): string {
	return `${middle.toFixed(3)} [${low.toFixed(3)}, ${high.toFixed(3)}]`;
}

function whole(value: number | undefined): string {
	return (value ?? Number.NaN).toFixed(0);
}

function summarise(runs: Runs, seconds: number): Part {
	const rate = ratio(runs, 'with', rateOf);
	const server = ratio(runs, 'server', rateOf);
	const control = ratio(runs, 'control', rateOf);
	const cpu = ratio(runs, 'with', cpuOf);
	const verdict = judge(rate, control);
	const medians = (read: (run: Run) => number) =>
		Object.fromEntries(arms.map((arm) => [arm, Number(median(runs[arm].map(read)).toFixed(2))]));
	const perSecond = medians(rateOf);
	const microseconds = medians(cpuOf);
	const row = (name: string, what: string, value: Estimate, note: string): Row => {
		return { name, what, value: show(value), aim: '', verdict: 'none', note };
	};
	return {
		figures: {
			ratio: rate,
			ratio_server_end_alone: server,
			ratio_control: control,
			ratio_cpu_per_connection: cpu,
			connections_per_second: perSecond,
			cpu_microseconds_per_connection: microseconds,
			rounds: runs.with.length,
			seconds_each: seconds,
			connections: sum(Object.values(runs).flatMap((each: Run[]) => each.map(({ connections }) => connections))),
			runs_per_second: Object.fromEntries(arms.map((arm) => [arm, runs[arm].map((run) => Math.round(run.rate))])),
		},
		rows: [
			{
				name: 'rate',
				what: 'accepted connections per second, with toascope / without',
				value: show(rate),
				aim: `at least ${atLeast}`,
				verdict,
				note: `${whole(perSecond.with)} / ${whole(perSecond.without)} per second, ${runs.with.length} pairs`,
			},
			row(
				'rate_control',
				'control: without / without',
				control,
				verdict === 'none' ? 'spreads over 1 %: no verdict on the rate' : 'within 1 %',
			),
			row(
				'rate_server',
				'the rate where toascope sees the server end alone',
				server,
				`${whole(perSecond.server)} per second`,
			),
			row('cpu', 'CPU time for a connection, with / without', cpu, `${microseconds.with} / ${microseconds.without} µs`),
		],
	};
}
