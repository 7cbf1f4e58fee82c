// SPDX-License-Identifier: Apache-2.0
/**
 * Measures how long GET /metrics takes with many clients exported, and how long it blocks the event
 * loop.
 */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ToascopeError } from '../daemon/errors.ts';
import { total } from '../test/kit/telemetry/metrics.ts';
import { startDaemon, untilClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import type { Part, Plan, Row } from './result.ts';
import type { Sandbox } from './sandbox.ts';
import type { Answer } from './scraper.ts';
import { quantile } from './statistics.ts';

interface Scale {
	readonly clients: number;
	/** Limit of the p99. */
	readonly atMostMs: number;
	readonly blockAtMostMs: number;
}

/** Each client has ten series. */
const scales: readonly Scale[] = [
	{ clients: 1000, atMostMs: 60, blockAtMostMs: 20 },
	{ clients: 10_000, atMostMs: 500, blockAtMostMs: 50 },
];
/** Scrapes that are not measured, since the daemon's engine compiles the code meanwhile. */
const warmUp = 5;
const scrapes = 200;
/** The tick of prom-client's monitor, which is the lag that an idle loop shows. */
const tickMs = 10;

interface Figures {
	readonly p50_ms: number;
	readonly p99_ms: number;
	readonly bytes: number;
}

export async function measureScrapes(sandbox: Sandbox, plan: Plan): Promise<Part> {
	const figures: Record<string, object> = {};
	const rows: Row[] = [];
	for (const scale of scales) {
		plan.say(`scrape: ${scale.clients} clients`);
		const part = await measure(sandbox, scale);
		figures[scale.clients] = part.figures;
		rows.push(...part.rows);
	}
	return { figures, rows };
}

async function measure(sandbox: Sandbox, scale: Scale): Promise<Part> {
	const { clients } = scale;
	await using daemon = await startDaemon(sandbox, 'with', `clients: {max_exported: ${clients}}`);
	{
		await using generator = await Generator.start(sandbox, clients);
		await generator.run({ server: 'with', client: 'without' }, { seconds: 60, connections: clients });
	}
	const samples = await untilClosed(sandbox, daemon, clients);
	const exported = total(samples, 'toascope_clients_exported');
	if (exported !== BigInt(clients)) {
		throw new ToascopeError('LAB_FAILED', `${exported} of ${clients} clients are exported`);
	}
	const plain = await repeat(sandbox, daemon.url, 'identity');
	const gzip = await repeat(sandbox, daemon.url, 'gzip');
	return summarise(scale, plain, gzip);
}

/** The last scrape is made only because it reports the event loop's lag during the one before. */
async function repeat(sandbox: Sandbox, url: string, encoding: string): Promise<Answer[]> {
	const [setpriv, ...options] = sandbox.killedWithParent;
	const script = join(import.meta.dirname, 'scraper.ts');
	const times = warmUp + scrapes + 1;
	const command = [process.execPath, '--expose-gc', script, `${url}/metrics`, encoding, `${times}`];
	const { stdout } = await promisify(execFile)(setpriv, [...options, ...command], { signal: sandbox.signal });
	const answers = JSON.parse(stdout) as Answer[];
	const failed = answers.find(({ status }) => status !== 200);
	if (failed !== undefined) throw new ToascopeError('LAB_FAILED', `GET /metrics: ${failed.status}`);
	return answers.slice(warmUp);
}

function figuresOf(answers: readonly Answer[]): Figures {
	const times = answers.slice(0, scrapes).map(({ ms }) => ms);
	return { p50_ms: quantile(times, 0.5), p99_ms: quantile(times, 0.99), bytes: answers.at(-1)?.bytes ?? 0 };
}

function summarise(
	{ clients, atMostMs, blockAtMostMs }: Scale,
	plain: readonly Answer[],
	gzip: readonly Answer[],
): Part {
	if (gzip.some(({ encoding }) => encoding !== 'gzip')) {
		throw new ToascopeError('LAB_FAILED', 'a response was not compressed with gzip');
	}
	const figures = { plain: figuresOf(plain), gzip: figuresOf(gzip) };
	// each scrape reports the lag since the one before
	const lags = plain.slice(1).map(({ lag }) => lag ?? Number.NaN);
	const blockMs = Math.max(0, Math.max(...lags) * 1000 - tickMs);
	const series = plain.at(-1)?.series ?? 0;
	const row = (name: string, what: string, { p50_ms, p99_ms, bytes }: Figures): Row => ({
		name: `scrape_${clients}_${name}`,
		what: `scrape, ${clients} clients, ${what}: p99`,
		value: `${p99_ms.toFixed(1)} ms`,
		aim: `at most ${atMostMs} ms`,
		verdict: p99_ms <= atMostMs ? 'met' : 'falls short',
		note: `p50 ${p50_ms.toFixed(1)} ms, ${(bytes / 1024).toFixed(0)} KiB, ${series} series`,
	});
	return {
		figures: { ...figures, series, scrapes, loop_block_ms: blockMs },
		rows: [
			row('plain', 'plain', figures.plain),
			row('gzip', 'gzip', figures.gzip),
			{
				name: `scrape_${clients}_block`,
				what: `longest block of the event loop, ${clients} clients, plain`,
				value: `${blockMs.toFixed(0)} ms`,
				aim: `at most ${blockAtMostMs} ms`,
				verdict: blockMs <= blockAtMostMs ? 'met' : 'falls short',
			},
		],
	};
}
