// SPDX-License-Identifier: Apache-2.0
/**
 * Measures batches of lookups over the daemon's Unix socket, as the Collector's processor asks them,
 * with connection tables of two sizes.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ToascopeError } from '../daemon/errors.ts';
import type { BatchAnswer } from './batch_asker.ts';
import { daemonCgroup, startDaemon } from './daemon.ts';
import { Generator } from './generator.ts';
import { Holding } from './holding.ts';
import { residentBytes } from './memory_use.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';

const batch = 512;
const atLeast = 50_000;
const p99AtMostMs = 5;
const lagAtMostMs = 10;
/** Open connections whose peers are looked up. */
const peers = 20 * batch;
const tables = [65_536, 1_048_576];
/** Connections that use slots of the table. */
const made = 60_000;
const cgroups = { server: 'with', client: 'without' };
const asker = new URL('batch_asker.ts', import.meta.url).pathname;

interface Measured {
	readonly fastest: BatchAnswer;
	readonly even: BatchAnswer;
	readonly microsPerLookup: number;
	/** The longest time that the event loop was held at the even rate. */
	readonly lagMs: number;
	readonly mb: number;
}

export async function measureBatchLookups(sandbox: Sandbox, plan: Plan): Promise<Part> {
	const measured: Record<string, Measured> = {};
	for (const slots of tables) {
		plan.say(`batch_lookups: a table of ${slots} connections`);
		measured[slots] = await measure(sandbox, slots, plan.quick ? 3 : 15);
	}
	return { figures: measured, rows: Object.entries(measured).flatMap(([slots, one]) => rowsOf(slots, one)) };
}

async function measure(sandbox: Sandbox, slots: number, seconds: number): Promise<Measured> {
	const file = join(sandbox.scratch, `peers-${slots}`);
	await using daemon = await startDaemon(sandbox, cgroups.server, `connections: {max: ${slots}, retain: 1 h}`);
	await using generator = await Generator.start(sandbox, 1000);
	await generator.run(cgroups, { seconds: 120, connections: made });
	await using holding = await Holding.start(sandbox, peers, file);
	await holding.hold(cgroups, peers);
	const ask = async (perSecond: number, forSeconds: number) => {
		const answer = await runAsker(sandbox, [daemon.socket, file, `${batch}`, `${perSecond}`, `${forSeconds}`]);
		if (answer.wrong > 0) throw new ToascopeError('LAB_FAILED', `${answer.wrong} lookups were answered wrongly`);
		return answer;
	};
	const lagMs = async () => {
		const lag = (await daemon.metrics()).find(({ name }) => name === 'nodejs_eventloop_lag_max_seconds');
		return 1000 * Number(lag?.value);
	};
	await ask(0, 2);
	const before = sandbox.cpuSeconds(daemonCgroup);
	const fastest = await ask(0, seconds);
	const microsPerLookup = ((sandbox.cpuSeconds(daemonCgroup) - before) / fastest.lookups) * 1e6;
	// the maximum is that since the scrape before
	await lagMs();
	const even = await ask(atLeast, seconds);
	const result = {
		fastest,
		even,
		microsPerLookup,
		lagMs: await lagMs(),
		mb: residentBytes(daemon.child.pid ?? 0) / 1e6,
	};
	await holding.drop();
	return result;
}

async function runAsker(sandbox: Sandbox, args: readonly string[]): Promise<BatchAnswer> {
	const { stdout } = await promisify(execFile)(process.execPath, [asker, ...args], { signal: sandbox.signal });
	return JSON.parse(stdout) as BatchAnswer;
}

function rowsOf(slots: string, { fastest, even, microsPerLookup, lagMs, mb }: Measured): Row[] {
	const perSecond = fastest.lookups / fastest.seconds;
	const table = `table of ${slots}`;
	return [
		{
			name: `batch_lookups_${slots}`,
			what: `lookups in batches of ${batch} over the Unix socket, ${table}`,
			value: `${perSecond.toFixed(0)} per second`,
			aim: `at least ${atLeast} per second`,
			verdict: perSecond >= atLeast ? 'met' : 'falls short',
			note: `one batch at a time; ${microsPerLookup.toFixed(1)} µs of CPU time of the daemon per lookup; it has ${mb.toFixed(0)} MB`,
		},
		{
			name: `batch_lookups_p99_${slots}`,
			what: `p99 of a batch of ${batch} at ${atLeast} lookups a second, ${table}`,
			value: `${even.p99Ms.toFixed(1)} ms`,
			aim: `at most ${p99AtMostMs} ms`,
			verdict: even.p99Ms <= p99AtMostMs ? 'met' : 'falls short',
			note: `p50 ${even.p50Ms.toFixed(1)} ms, longest ${even.maxMs.toFixed(1)} ms; ${(even.lookups / even.seconds).toFixed(0)} lookups/s`,
		},
		{
			name: `batch_lookups_lag_${slots}`,
			what: `longest time that batches hold the event loop, ${table}`,
			value: `${lagMs.toFixed(1)} ms`,
			aim: `at most ${lagAtMostMs} ms`,
			verdict: lagMs <= lagAtMostMs ? 'met' : 'falls short',
			note: 'at the even rate',
		},
	];
}
