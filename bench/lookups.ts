// SPDX-License-Identifier: Apache-2.0
/**
 * Measures how many lookups the daemon answers over its Unix socket while connections arrive at an
 * even rate.
 */
import { join } from 'node:path';
import { ToascopeError } from '../daemon/errors.ts';
import { daemonCgroup, startDaemon, untilClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import { Holding } from './holding.ts';
import type { Part, Plan } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import { Tool } from './tool.ts';

const atLeast = 5000;
const p99AtMostMs = 5;
/** Connections per second of the load. */
const perSecond = 10_000;
/** The load must have reached this share of the rate. */
const minimumShare = 0.99;
/** Connections that stay open, whose peers are looked up. */
const peers = 1000;
/** Connections to the socket, each with one request at a time. */
const askers = 8;
/** More connections than the table holds. */
const warmUp = 70_000;
const longest = 60;

interface Answer {
	readonly lookups: number;
	readonly errors: number;
	readonly seconds: number;
	readonly cpu_seconds: number;
	readonly p50_us: number;
	readonly p99_us: number;
	readonly max_us: number;
}

export async function measureLookups(sandbox: Sandbox, plan: Plan): Promise<Part> {
	const seconds = plan.quick ? 3 : 20;
	const cgroups = { server: 'with', client: 'without' };
	const file = join(sandbox.scratch, 'peers');
	await using daemon = await startDaemon(sandbox, cgroups.server);
	await using holding = await Holding.start(sandbox, peers, file);
	await holding.hold(cgroups, peers);
	await using generator = await Generator.start(sandbox, peers);
	await using asker = await Tool.start(sandbox, 'toascope-ask', [daemon.socket, file]);
	const ask = (forSeconds: number) => asker.ask<Answer>(`run ${forSeconds} ${askers}`, forSeconds * 1000);

	plan.say('lookups: filling the connection table');
	await generator.run(cgroups, { seconds: longest, connections: warmUp });
	await ask(1);
	plan.say(`lookups: ${perSecond} connections a second`);
	const before = sandbox.cpuSeconds(daemonCgroup);
	const [load, answer] = await Promise.all([generator.run(cgroups, { seconds: seconds + 1, perSecond }), ask(seconds)]);
	const daemonSeconds = sandbox.cpuSeconds(daemonCgroup) - before;
	await holding.drop();
	await untilClosed(sandbox, daemon, peers + warmUp + load.connections);
	if (answer.errors > 0) throw new ToascopeError('LAB_FAILED', `lookups failed: ${JSON.stringify(answer)}`);
	return summarise(load.rate, answer, daemonSeconds);
}

function summarise(rate: number, answer: Answer, daemonSeconds: number): Part {
	const answered = answer.lookups / answer.seconds;
	const micros = (daemonSeconds / answer.lookups) * 1e6;
	const p99Ms = answer.p99_us / 1000;
	const verdictOf = (met: boolean) => (rate < perSecond * minimumShare ? 'none' : met ? 'met' : 'falls short');
	return {
		figures: { ...answer, per_second: answered, load_per_second: rate, askers, daemon_us: micros },
		rows: [
			{
				name: 'lookups',
				what: `lookups over the Unix socket while ${perSecond} connections/s arrive`,
				value: `${answered.toFixed(0)} per second`,
				aim: `at least ${atLeast} per second`,
				verdict: verdictOf(answered >= atLeast),
				note: `${askers} connections; ${micros.toFixed(0)} µs of CPU time of the daemon per lookup; ${rate.toFixed(0)} connections/s arrived`,
			},
			{
				name: 'lookups_p99',
				what: `p99 of lookups over the Unix socket while ${perSecond} connections/s arrive`,
				value: `${p99Ms.toFixed(1)} ms`,
				aim: `at most ${p99AtMostMs} ms`,
				verdict: verdictOf(p99Ms <= p99AtMostMs),
				note: `p50 ${(answer.p50_us / 1000).toFixed(1)} ms, longest ${(answer.max_us / 1000).toFixed(1)} ms`,
			},
		],
	};
}
