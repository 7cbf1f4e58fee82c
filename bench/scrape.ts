// SPDX-License-Identifier: Apache-2.0
/** How long GET /metrics takes with so many clients exported, and how long it holds the event loop. */
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { ToascopeError } from '../daemon/errors.ts';
import { total } from '../test/fixtures/metrics.ts';
import { startDaemon, whenClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import type { Part, Plan, Row } from './result.ts';
import { quantile } from './statistics.ts';

interface Scale {
	readonly clients: number;
	/** 99 of 100 scrapes. */
	readonly atMostMs: number;
	readonly blockAtMostMs: number;
}

/** A client has ten series. */
const scales: readonly Scale[] = [
	{ clients: 1000, atMostMs: 60, blockAtMostMs: 20 },
	{ clients: 10_000, atMostMs: 500, blockAtMostMs: 50 },
];
/** The compilers of the daemon's engine have then done their work. */
const warmUp = 5;
const scrapes = 30;
/** prom-client's monitor ticks so often: an idle loop shows this. */
const tickMs = 10;

interface Answer {
	readonly ms: number;
	readonly bytes: number;
	readonly encoding: string;
	/** The daemon's longest block of its event loop since the scrape before, seconds; NaN where the answer was compressed. */
	readonly lag: number;
	readonly series: number;
}

interface Figures {
	readonly p50_ms: number;
	readonly p99_ms: number;
	readonly bytes: number;
}

export async function measureScrapes(ground: Ground, plan: Plan): Promise<Part> {
	const figures: Record<string, object> = {};
	const rows: Row[] = [];
	for (const scale of scales) {
		plan.say(`scrape: ${scale.clients} clients`);
		const part = await measure(ground, scale);
		figures[scale.clients] = part.figures;
		rows.push(...part.rows);
	}
	return { figures, rows };
}

async function measure(ground: Ground, scale: Scale): Promise<Part> {
	const { clients } = scale;
	await using daemon = await startDaemon(ground, 'with', `clients: {max_exported: ${clients}}`);
	{
		await using generator = await Generator.start(ground, clients);
		await generator.run({ server: 'with', client: 'without' }, { seconds: 60, connections: clients });
	}
	const samples = await whenClosed(ground, daemon, clients);
	const exported = total(samples, 'toascope_clients_exported');
	if (exported !== BigInt(clients)) {
		throw new ToascopeError('LAB_FAILED', `${clients} clients were to be exported, ${exported} are`);
	}
	const agent = new Agent({ keepAlive: true });
	try {
		const plain = await repeat(ground, agent, daemon.url, 'identity');
		const gzip = await repeat(ground, agent, daemon.url, 'gzip');
		return summarise(scale, plain, gzip);
	} finally {
		agent.destroy();
	}
}

async function repeat(ground: Ground, agent: Agent, url: string, encoding: string): Promise<Answer[]> {
	const answers: Answer[] = [];
	for (let index = 0; index < warmUp + scrapes; index++) {
		const answer = await scrape(agent, `${url}/metrics`, encoding, ground.signal);
		if (index >= warmUp) answers.push(answer);
		// the looks of the daemon, one a second, fall on other scrapes each time
		await setTimeout(37, undefined, { signal: ground.signal });
	}
	return answers;
}

/** From the request to the last byte of the answer. Of that, no more is kept than is shown: the bench's own memory is not to be measured. */
async function scrape(agent: Agent, url: string, encoding: string, signal: AbortSignal): Promise<Answer> {
	const begun = performance.now();
	const request = get(url, { agent, signal, headers: { 'accept-encoding': encoding } });
	const [response] = (await once(request, 'response')) as [IncomingMessage];
	const pieces = await response.toArray();
	const ms = performance.now() - begun;
	if (response.statusCode !== 200) throw new ToascopeError('LAB_FAILED', `GET /metrics: ${response.statusCode}`);
	const body = Buffer.concat(pieces);
	const text = body.toString('latin1');
	return {
		ms,
		bytes: body.length,
		encoding: response.headers['content-encoding'] ?? 'identity',
		lag: Number(/^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(text)?.[1]),
		series: text.match(/^[^#].*$/gm)?.length ?? 0,
	};
}

function figuresOf(answers: readonly Answer[]): Figures {
	const times = answers.map(({ ms }) => ms);
	return { p50_ms: quantile(times, 0.5), p99_ms: quantile(times, 0.99), bytes: answers.at(-1)?.bytes ?? 0 };
}

function summarise(
	{ clients, atMostMs, blockAtMostMs }: Scale,
	plain: readonly Answer[],
	gzip: readonly Answer[],
): Part {
	if (gzip.some(({ encoding }) => encoding !== 'gzip')) throw new ToascopeError('LAB_FAILED', 'no gzip came');
	const figures = { plain: figuresOf(plain), gzip: figuresOf(gzip) };
	// each scrape shows what was since the one before: the first shows what was before the first
	const lags = plain.slice(1).map(({ lag }) => lag);
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
