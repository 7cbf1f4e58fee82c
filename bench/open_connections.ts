// SPDX-License-Identifier: Apache-2.0
/** How long the daemon holds its event loop while that many connections are open and idle. */
import { setTimeout } from 'node:timers/promises';
import { total } from '../test/fixtures/metrics.ts';
import { startDaemon } from './daemon.ts';
import type { Ground } from './ground.ts';
import { Holding } from './holding.ts';
import type { Part, Plan, Row } from './result.ts';
import { median } from './statistics.ts';

const scales = [100_000, 500_000] as const;
const quickScales = [20_000] as const;
const blockAtMostMs = 10;
/** prom-client's monitor ticks so often: an idle loop shows this. */
const tickMs = 10;
/** Of one measurement: open connections are read once in this time at least. */
const intervalMs = 6000;
const intervals = 6;
const ours = { server: 'with', client: 'without' };

export async function measureOpenConnections(ground: Ground, plan: Plan): Promise<Part> {
	const figures: Record<string, object> = {};
	const rows: Row[] = [];
	for (const connections of plan.quick ? quickScales : scales) {
		plan.say(`open_connections: ${connections}`);
		const blocks = await measure(ground, connections);
		const longest = Math.max(...blocks);
		figures[connections] = { loop_block_ms: blocks };
		rows.push({
			name: `open_${connections}_block`,
			what: `longest block of the event loop, ${connections} open connections`,
			value: `${longest.toFixed(0)} ms`,
			aim: `at most ${blockAtMostMs} ms`,
			verdict: longest <= blockAtMostMs ? 'met' : 'falls short',
			note: `median of ${intervals} intervals of ${intervalMs / 1000} s: ${median(blocks).toFixed(0)} ms`,
		});
	}
	return { figures, rows };
}

/** The longest block of each interval, milliseconds. */
async function measure(ground: Ground, connections: number): Promise<number[]> {
	await using daemon = await startDaemon(ground, 'with', `connections: {max: ${connections}}`);
	await using holding = await Holding.start(ground, 1000);
	await holding.hold(ours, connections);
	await daemon.until(
		(samples) => total(samples, 'toascope_connections_opened_total') === BigInt(connections) || undefined,
	);
	const blocks: number[] = [];
	// a scrape shows what was since the one before: the first one shows how they opened
	await daemon.metrics();
	for (let interval = 0; interval < intervals; interval++) {
		await setTimeout(intervalMs, undefined, { signal: ground.signal });
		const samples = await daemon.metrics();
		const lag = samples.find(({ name }) => name === 'nodejs_eventloop_lag_max_seconds')?.value;
		blocks.push(Math.max(0, Number(lag) * 1000 - tickMs));
	}
	await holding.drop();
	return blocks;
}
