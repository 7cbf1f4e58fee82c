// SPDX-License-Identifier: Apache-2.0
/**
 * Measures the time of a sweep of open connections, with the daemon's provider inside the bench, so
 * that no other work of a daemon interferes.
 */
import { setImmediate, setTimeout } from 'node:timers/promises';
import { sweepProgram } from '../daemon/capture/sweeper.ts';
import type { Yield } from '../daemon/event_loop.ts';
import type { Holding } from './holding.ts';
import { InProcessDaemon } from './in_process_daemon.ts';
import type { Plan } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { median } from './statistics.ts';
import { Tool } from './tool.ts';

/** Milliseconds, medians of the repeats. */
interface SweepTime {
	readonly bpfMs: number;
	/** CPU time of the thread that runs it. */
	readonly cpuMs: number;
	/** Longest wall-clock time for which it blocked the event loop between two yields. */
	readonly longestHoldMs: number;
}

export interface OpenSweep {
	/** The sweep that reads open connections too, which runs every 5 s. */
	readonly open: SweepTime;
	/** The sweep of closed and new connections, which runs every second. */
	readonly usual: SweepTime;
	/** As `open`, while no connection is open. */
	readonly none: SweepTime;
}

/**
 * The first sweeps count the connections and assign each to its client, so they are not measured.
 */
const warmUps = 3;

/** `cgroup` is that of the server's ends of the connections that `holding` opens. */
export async function measureOpenSweep(
	sandbox: Sandbox,
	plan: Plan,
	cgroup: string,
	config: string,
	holding: Holding,
	connections: number,
): Promise<OpenSweep> {
	const repeats = plan.quick ? 3 : 7;
	// enables the kernel's run-time statistics
	await using _runtime = await Tool.start(sandbox, 'toascope-runtime', ['measure', sandbox.cgroup('empty')]);
	using inside = InProcessDaemon.open(sandbox, cgroup, `bpf: {pin: off}\n${config}`);
	const { provider } = inside;
	const bpfNs = () =>
		Number(provider.counters.programs().find(({ program }) => program === sweepProgram)?.runNs ?? Number.NaN);

	const once = async (sweep: (yieldLoop: Yield) => Promise<void>): Promise<SweepTime> => {
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
	const open = (yieldLoop: Yield) => provider.flush(yieldLoop);
	const usual = (yieldLoop: Yield) => provider.counters.sweep(yieldLoop);

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

/**
 * The kernel updates the CPU time of a thread when the thread sleeps, but otherwise only at its
 * ticks.
 */
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
