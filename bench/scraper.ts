// SPDX-License-Identifier: Apache-2.0
/**
 * scraper.ts URL ENCODING TIMES: takes GET URL so many times over one kept connection, one after the other, and writes one line of
 * JSON, an Answer for each. A process of its own, which clears up between scrapes and not within: its garbage is not to be measured.
 */
import { once } from 'node:events';
import { Agent, get, type IncomingMessage } from 'node:http';
import { setTimeout } from 'node:timers/promises';

export interface Answer {
	readonly status: number;
	/** From the request to the last byte. */
	readonly ms: number;
	readonly bytes: number;
	readonly encoding: string;
	/** The daemon's longest block of its event loop since the scrape before, seconds; null where the answer was compressed. */
	readonly lag: number | null;
	readonly series: number;
}

const [url = '', encoding = '', times = ''] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true });
const answers: Answer[] = [];

async function scrape(): Promise<Answer> {
	const begun = performance.now();
	const request = get(url, { agent, headers: { 'accept-encoding': encoding } });
	const [response] = (await once(request, 'response')) as [IncomingMessage];
	const pieces = await response.toArray();
	const ms = performance.now() - begun;
	const body = Buffer.concat(pieces);
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
	// the looks of the daemon, one a second, fall on other scrapes each time
	await setTimeout(37);
}
agent.destroy();
console.log(JSON.stringify(answers));
