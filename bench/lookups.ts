// SPDX-License-Identifier: Apache-2.0
/** How many lookups the daemon answers over its Unix socket while connections come at an even rate. */
import { join } from 'node:path';
import { ToascopeError } from '../daemon/errors.ts';
import { daemonPlace, startDaemon, whenClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import { Holding } from './holding.ts';
import type { Part, Plan } from './result.ts';
import { Tool } from './tool.ts';

const atLeast = 5000;
const p99AtMostMs = 5;
/** Of the load. */
const perSecond = 10_000;
/** The load must have come at this share of the rate. */
const reached = 0.99;
/** Connections that stay open, whose peers are asked for. */
const peers = 1000;
/** Connections to the socket, each with one question at a time. */
const askers = 8;
/** More than the table of connections holds. */
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

export async function measureLookups(ground: Ground, plan: Plan): Promise<Part> {
	const seconds = plan.quick ? 3 : 20;
	const places = { server: 'with', client: 'without' };
	const file = join(ground.scratch, 'peers');
	await using daemon = await startDaemon(ground, places.server);
	await using holding = await Holding.start(ground, peers, file);
	await holding.hold(places, peers);
	await using generator = await Generator.start(ground, peers);
	await using asker = await Tool.start(ground, 'toascope-ask', [daemon.socket, file]);
	const ask = (forSeconds: number) => asker.ask<Answer>(`run ${forSeconds} ${askers}`, forSeconds * 1000);

	plan.say('lookups: filling the table of connections');
	await generator.run(places, { seconds: longest, connections: warmUp });
	await ask(1);
	plan.say(`lookups: ${perSecond} connections a second`);
	const before = ground.cpuSeconds(daemonPlace);
	const [load, answer] = await Promise.all([generator.run(places, { seconds: seconds + 1, perSecond }), ask(seconds)]);
	const daemonSeconds = ground.cpuSeconds(daemonPlace) - before;
	await holding.drop();
	await whenClosed(ground, daemon, peers + warmUp + load.connections);
	if (answer.errors > 0) throw new ToascopeError('LAB_FAILED', `lookups failed: ${JSON.stringify(answer)}`);
	return summarise(load.rate, answer, daemonSeconds);
}

function summarise(rate: number, answer: Answer, daemonSeconds: number): Part {
	const answered = answer.lookups / answer.seconds;
	const micros = (daemonSeconds / answer.lookups) * 1e6;
	const p99Ms = answer.p99_us / 1000;
	const judge = (met: boolean) => (rate < perSecond * reached ? 'none' : met ? 'met' : 'falls short');
	return {
		figures: { ...answer, per_second: answered, load_per_second: rate, askers, daemon_us: micros },
		rows: [
			{
				name: 'lookups',
				what: `lookups over the Unix socket while ${perSecond} connections/s come in`,
				value: `${answered.toFixed(0)} per second`,
				aim: `at least ${atLeast} per second`,
				verdict: judge(answered >= atLeast),
				note: `${askers} connections; ${micros.toFixed(0)} µs of the daemon's processor time for each; ${rate.toFixed(0)} connections/s came in`,
			},
			{
				name: 'lookups_p99',
				what: 'the same: p99',
				value: `${p99Ms.toFixed(1)} ms`,
				aim: `at most ${p99AtMostMs} ms`,
				verdict: judge(p99Ms <= p99AtMostMs),
				note: `p50 ${(answer.p50_us / 1000).toFixed(1)} ms, longest ${(answer.max_us / 1000).toFixed(1)} ms`,
			},
		],
	};
}
