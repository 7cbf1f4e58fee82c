// SPDX-License-Identifier: Apache-2.0
/**
 * batch_asker.ts SOCKET PEERS BATCH RATE SECONDS: looks up the clients behind peers in batches over
 * a daemon's Unix socket, RATE lookups a second (0: each batch as soon as the last is answered).
 * Each line of PEERS has a peer and its client, as toascope-hold writes them. It is a process of its
 * own, and prints one line of JSON.
 */
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import type { ConnectionJson } from '../daemon/api/connection.ts';
import { quantile } from './statistics.ts';

export interface BatchAnswer {
	readonly lookups: number;
	readonly seconds: number;
	readonly p50Ms: number;
	readonly p99Ms: number;
	readonly maxMs: number;
	/** Answers that did not name the right client. */
	readonly wrong: number;
}

/** What a request's span is given of its connection. */
const fields = [
	'client',
	'local',
	'opened_at',
	'closed_at',
	'verdict',
	'trace_id',
	'span_id',
	'rtt_seconds',
	'retransmitted_segments',
	'accept_wait_seconds',
];

interface Known {
	readonly peer: string;
	readonly client: string;
}

interface Batch {
	readonly known: readonly Known[];
	readonly body: string;
}

const [socketPath = '', file = '', size = '', rate = '', seconds = ''] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: 8 });
const peers = readFileSync(file, 'utf8')
	.trim()
	.split('\n')
	.map((line): Known => {
		const [peer = '', client = ''] = line.split(' ');
		return { peer, client };
	});
const batches: Batch[] = [];
for (let from = 0; from + Number(size) <= peers.length; from += Number(size)) {
	const known = peers.slice(from, from + Number(size));
	batches.push({ known, body: JSON.stringify({ fields, queries: known.map(({ peer }) => ({ peer })) }) });
}

/** Resolves with the response and the milliseconds from the request to its last byte. */
function post({ body }: Batch): Promise<{ readonly ms: number; readonly status: number; readonly text: Buffer }> {
	const began = performance.now();
	const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
	return new Promise((resolve, reject) => {
		request({ socketPath, path: '/v1/connections', method: 'POST', agent, headers }, (response) => {
			const chunks: Buffer[] = [];
			response
				.on('data', (chunk: Buffer) => chunks.push(chunk))
				.once('end', () => {
					resolve({ ms: performance.now() - began, status: response.statusCode ?? 0, text: Buffer.concat(chunks) });
				});
		})
			.once('error', reject)
			.end(body);
	});
}

/** How many of the answers are wrong. Only some batches are checked: a check takes as long as an answer. */
function wrongAnswers({ known }: Batch, text: Buffer): number {
	const { results } = JSON.parse(text.toString()) as { results: { connections: Pick<ConnectionJson, 'client'>[] }[] };
	return known.filter(({ client }, index) => results[index]?.connections[0]?.client?.address !== client).length;
}

const times: number[] = [];
let wrong = 0;
let lookups = 0;
async function ask(number: number): Promise<void> {
	const batch = batches[number % batches.length];
	if (batch === undefined) throw new Error(`${peers.length} peers are fewer than a batch`);
	const { ms, status, text } = await post(batch);
	times.push(ms);
	lookups += batch.known.length;
	if (status !== 200) wrong += batch.known.length;
	else if (number % 100 === 0) wrong += wrongAnswers(batch, text);
}

const intervalMs = Number(rate) > 0 ? (1000 * Number(size)) / Number(rate) : 0;
const pending: Promise<void>[] = [];
const began = performance.now();
for (let number = 0; performance.now() - began < 1000 * Number(seconds); number++) {
	const waitMs = began + number * intervalMs - performance.now();
	if (waitMs > 0) await setTimeout(waitMs);
	const asked = ask(number);
	if (intervalMs === 0) await asked;
	else pending.push(asked);
}
await Promise.all(pending);
const took = (performance.now() - began) / 1000;
agent.destroy();
const answer: BatchAnswer = {
	lookups,
	seconds: took,
	p50Ms: quantile(times, 0.5),
	p99Ms: quantile(times, 0.99),
	maxMs: Math.max(...times),
	wrong,
};
console.log(JSON.stringify(answer));
