// SPDX-License-Identifier: Apache-2.0
/** What a sweep of open connections takes, with the daemon's provider inside the bench: no other work of a daemon is beside it. */
import { setImmediate, setTimeout } from 'node:timers/promises';
import { sweepProgram } from '../daemon/capture/sweeper.ts';
import type { NextTurn } from '../daemon/model/store.ts';
import type { Ground } from './ground.ts';
import type { Holding } from './holding.ts';
import { Inside } from './inside.ts';
import type { Plan } from './result.ts';
import { median } from './statistics.ts';
import { Tool } from './tool.ts';

/** Milliseconds, medians of the repeats. */
export interface SweepTime {
	readonly bpfMs: number;
	/** Of the thread that runs it. */
	readonly cpuMs: number;
	/** The longest that it kept the event loop before it gave it back, on the clock of the wall. */
	readonly longestHoldMs: number;
}

export interface OpenSweep {
	/** Of open connections, as every 5 s. */
	readonly open: SweepTime;
	/** Of what has closed and what is new, as every second. */
	readonly usual: SweepTime;
	/** Of open connections, where there are none. */
	readonly none: SweepTime;
}

/** The first ones count the connections, and give each its client. */
const warmUps = 3;

/** The server's ends of connections that `holding` opens are in that cgroup. */
export async function measureOpenSweep(
	ground: Ground,
	plan: Plan,
	cgroup: string,
	config: string,
	holding: Holding,
	connections: number,
): Promise<OpenSweep> {
	const repeats = plan.quick ? 3 : 7;
	// switches the statistics on
	await using _runtime = await Tool.start(ground, 'toascope-runtime', ['measure', ground.cgroup('empty')]);
	using inside = Inside.open(ground, cgroup, `bpf: {pin: off}\n${config}`);
	const { provider } = inside;
	const bpfNs = () =>
		Number(provider.counters.programs().find(({ program }) => program === sweepProgram)?.runNs ?? Number.NaN);

	const once = async (sweep: (nextTurn: NextTurn) => Promise<void>): Promise<SweepTime> => {
		let longestHoldMs = 0;
		const [ns, cpu] = [bpfNs(), await threadCpuMs()];
		let since = performance.now();
		const release = () => {
			longestHoldMs = Math.max(longestHoldMs, performance.now() - since);
		};
		await sweep(async () => {
			release();
			await setImmediate();
			since = performance.now();
		});
		release();
		return { bpfMs: (bpfNs() - ns) / 1e6, cpuMs: (await threadCpuMs()) - cpu, longestHoldMs };
	};
	const open = (nextTurn: NextTurn) => provider.flush(nextTurn);
	const usual = (nextTurn: NextTurn) => provider.counters.sweep(nextTurn);

	for (let index = 0; index < warmUps; index++) await once(open);
	const none = await repeat(repeats, () => once(open));
	await holding.hold({ server: cgroup, client: 'without' }, connections);
	for (let index = 0; index < warmUps; index++) await once(open);
	const opens: SweepTime[] = [];
	const usuals: SweepTime[] = [];
	for (let index = 0; index < repeats; index++) {
		opens.push(await once(open));
		usuals.push(await once(usual));
	}
	await holding.drop();
	return { open: summarise(opens), usual: summarise(usuals), none: summarise(none) };
}

/** The kernel brings the account of a thread up to date when it sleeps; of one that runs, at its ticks only. */
async function threadCpuMs(): Promise<number> {
	await setTimeout(2);
	const { user, system } = process.threadCpuUsage();
	return (user + system) / 1000;
}

async function repeat<T>(times: number, run: () => Promise<T>): Promise<T[]> {
	const results: T[] = [];
	while (results.length < times) results.push(await run());
	return results;
}

function summarise(times: readonly SweepTime[]): SweepTime {
	return {
		bpfMs: median(times.map(({ bpfMs }) => bpfMs)),
		cpuMs: median(times.map(({ cpuMs }) => cpuMs)),
		longestHoldMs: median(times.map(({ longestHoldMs }) => longestHoldMs)),
	};
}
