// SPDX-License-Identifier: Apache-2.0
/** Measures the daemon's own memory, with no client and with many clients in the kernel's table. */
import { setTimeout } from 'node:timers/promises';
import { startDaemon, untilClosed, untilTracked } from './daemon.ts';
import { Generator } from './generator.ts';
import { residentBytes } from './memory_use.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';

interface Scale {
	readonly name: string;
	readonly clients: number;
	readonly atMostMb: number;
}

const scales: readonly Scale[] = [
	{ name: 'idle', clients: 0, atMostMb: 90 },
	{ name: '100k', clients: 100_000, atMostMb: 150 },
	{ name: '1m', clients: 1_000_000, atMostMb: 300 },
];

const longest = 120;
const scrapes = 6;
const mb = 1e6;

export async function measureRss(sandbox: Sandbox, plan: Plan): Promise<Part> {
	const figures: Record<string, object> = {};
	const rows: Row[] = [];
	for (const scale of scales) {
		if (plan.quick && scale.clients > 100_000) continue;
		plan.say(`rss: ${scale.clients} clients`);
		const bytes = await measure(sandbox, scale.clients, plan.quick ? 1000 : 5000);
		const most = Math.max(...bytes) / mb;
		figures[scale.name] = { clients: scale.clients, bytes };
		rows.push({
			name: `rss_${scale.name}`,
			what: scale.clients === 0 ? 'daemon RSS, idle' : `daemon RSS, ${scale.clients} clients in the kernel's table`,
			value: `${most.toFixed(0)} MB`,
			aim: `at most ${scale.atMostMb} MB`,
			verdict: most <= scale.atMostMb ? 'met' : 'falls short',
			note: `at the first scrape ${((bytes[0] ?? Number.NaN) / mb).toFixed(0)} MB, at the last ${((bytes.at(-1) ?? Number.NaN) / mb).toFixed(0)} MB`,
		});
	}
	return { figures, rows };
}

/** Returns the resident bytes after each of a few scrapes. */
async function measure(sandbox: Sandbox, clients: number, pauseMs: number): Promise<number[]> {
	await using daemon = await startDaemon(sandbox, 'with', `clients: {capacity: ${Math.max(clients, 65_536)}}`);
	if (clients > 0) {
		await using generator = await Generator.start(sandbox, clients);
		await generator.run({ server: 'with', client: 'without' }, { seconds: longest, connections: clients });
	}
	await untilClosed(sandbox, daemon, clients);
	await untilTracked(sandbox, daemon, clients);
	const bytes: number[] = [];
	while (bytes.length < scrapes) {
		await setTimeout(pauseMs, undefined, { signal: sandbox.signal });
		await daemon.metrics();
		bytes.push(residentBytes(daemon.child.pid ?? Number.NaN));
	}
	return bytes;
}
