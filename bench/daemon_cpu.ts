// SPDX-License-Identifier: Apache-2.0
/** The daemon's own processor time while connections come at an even rate, and while none does. */
import { setTimeout } from 'node:timers/promises';
import { daemonPlace, startDaemon, whenClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import type { Part, Plan } from './result.ts';

const atMost = 0.05;
const perSecond = 10_000;
/** The load must have come at this share of the rate. */
const reached = 0.99;
const clients = 1000;
const warmUpSeconds = 2;

export async function measureDaemonCpu(ground: Ground, plan: Plan): Promise<Part> {
	// all that comes again and again comes more than once: the rarest every 15 s
	const seconds = plan.quick ? 5 : 31;
	await using daemon = await startDaemon(ground, 'with');
	await using generator = await Generator.start(ground, clients);
	const places = { server: 'with', client: 'without' };
	plan.say(`daemon_cpu: ${perSecond} connections a second`);
	const first = await generator.run(places, { seconds: warmUpSeconds, perSecond });
	const cpuSeconds = () => ground.cpuSeconds(daemonPlace);
	let before = cpuSeconds();
	const run = await generator.run(places, { seconds, perSecond });
	const busy = (cpuSeconds() - before) / run.seconds;
	await whenClosed(ground, daemon, first.connections + run.connections);
	plan.say('daemon_cpu: no connection');
	before = cpuSeconds();
	await setTimeout(seconds * 1000, undefined, { signal: ground.signal });
	const idle = (cpuSeconds() - before) / seconds;
	const percent = (value: number) => `${(value * 100).toFixed(1)} % of a core`;
	return {
		figures: { share: busy, idle_share: idle, rate: run.rate, seconds },
		rows: [
			{
				name: 'daemon_cpu',
				what: `daemon CPU at ${perSecond} connections/s, no tracing`,
				value: percent(busy),
				aim: `at most ${percent(atMost).replace('.0', '')}`,
				verdict: run.rate < perSecond * reached ? 'none' : busy <= atMost ? 'met' : 'falls short',
				note: `${run.rate.toFixed(0)} connections/s came; ${percent(idle)} with none`,
			},
		],
	};
}
