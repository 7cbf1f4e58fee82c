// SPDX-License-Identifier: Apache-2.0
/**
 * scraper.ts URL ENCODING TIMES: scrapes URL that many times, one after the other over one
 * persistent connection, and writes one line of JSON with an Answer for each. It is a separate
 * process that collects its garbage between scrapes, so that this is not measured.
 */
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { setTimeout } from 'node:timers/promises';

export interface Answer {
	readonly status: number;
	/** Milliseconds from the request to the last byte. */
	readonly ms: number;
	readonly bytes: number;
	readonly encoding: string;
	/**
	 * Longest block of the daemon's event loop since the scrape before, in seconds; null if the
	 * answer was compressed.
	 */
	readonly lag: number | null;
	readonly series: number;
}

const [url = '', encoding = '', times = ''] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true });
const answers: Answer[] = [];

async function scrape(): Promise<Answer> {
	const began = performance.now();
	const request = get(url, { agent, headers: { 'accept-encoding': encoding } });
	const [response] = (await once(request, 'response')) as [IncomingMessage];
	const chunks = await response.toArray();
	const ms = performance.now() - began;
	const body = Buffer.concat(chunks);
	const text = body.toString('latin1');
	return {
		status: response.statusCode ?? 0,
		ms,
		bytes: body.length,
		encoding: response.headers['content-encoding'] ?? 'identity',
		lag: Number(/^nodejs_eventloop_lag_max_seconds (\S+)$/m.exec(text)?.[1]),
		series: text.match(/^[^#].*$/gm)?.length ?? 0,
	};
}

for (let index = 0; index < Number(times); index++) {
	answers.push(await scrape());
	globalThis.gc?.();
	// with this pause, the daemon's collections, one a second, coincide with different scrapes
	await setTimeout(37);
}
agent.destroy();
console.log(JSON.stringify(answers));
