// SPDX-License-Identifier: Apache-2.0
/**
 * Measures how much memory one local user can make the daemon use over HTTP, by connections that
 * send thousands of requests at once.
 */
import { connect } from 'node:net';
import { socketClosed } from '../test/kit/daemon/socket_closed.ts';
import { startDaemon } from './daemon.ts';
import { peakBytes, residentBytes } from './memory_use.ts';
import type { Part, Plan } from './result.ts';
import type { Sandbox } from './sandbox.ts';

const [connections, requests, rounds] = [256, 3600, 3];
const atMostMb = 200;
const mb = 1e6;

/** Requests with large responses, and requests that are rejected before they are processed. */
export const floods: Readonly<Record<string, string>> = {
	peers: 'GET /v1/status?peers=on HTTP/1.1\r\n\r\n',
	peers_of_host: 'GET /v1/status?peers=on HTTP/1.1\r\nHost: x\r\n\r\n',
	nothing: 'GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n',
	method: 'PUT /metrics HTTP/1.1\r\nHost: x\r\n\r\n',
	no_method: 'FOO /metrics HTTP/1.1\r\nHost: x\r\n\r\n',
};

/**
 * Limit of the responses on one connection: the pipelined requests that are allowed to wait, and
 * the final error.
 */
export const maxResponses = 5;

/**
 * Sends one request `requests` times at once on each of `connections` connections. Resolves with
 * the status codes of all responses when all connections have ended.
 */
export async function flood(url: string, request: string, connections: number, requests: number): Promise<string[]> {
	const { hostname: host, port } = new URL(url);
	const sent = Buffer.from(request.repeat(requests));
	const answers = await Promise.all(
		Array.from({ length: connections }, async () => {
			let text = '';
			const socket = connect({ host, port: Number(port) });
			socket.on('data', (chunk) => {
				text += chunk;
			});
			socket.write(sent);
			// the daemon can reset the connection during the write
			await socketClosed(socket);
			return Array.from(text.matchAll(/HTTP\/1\.1 (\d+) /g), ([, status = '']) => status);
		}),
	);
	return answers.flat();
}

export async function measureFlood(sandbox: Sandbox, plan: Plan): Promise<Part> {
	await using daemon = await startDaemon(sandbox, 'with');
	const pid = daemon.child.pid ?? Number.NaN;
	for (let scrape = 0; scrape < 5; scrape++) await daemon.metrics();
	const before = residentBytes(pid);
	const peaks: Record<string, number> = {};
	for (const [name, request] of Object.entries(floods)) {
		plan.say(`flood: ${name}`);
		for (let round = 0; round < rounds; round++) await flood(daemon.url, request, connections, requests);
		peaks[name] = peakBytes(pid);
	}
	const peak = Math.max(...Object.values(peaks));
	const after = residentBytes(pid);
	return {
		figures: { connections, requests, before, after, peaks },
		rows: [
			{
				name: 'flood',
				what: `peak daemon RSS while ${connections} connections send ${requests} requests each`,
				value: `${(peak / mb).toFixed(0)} MB`,
				aim: `at most ${atMostMb} MB`,
				verdict: peak <= atMostMb * mb ? 'met' : 'falls short',
				note: `before ${(before / mb).toFixed(0)} MB, after ${(after / mb).toFixed(0)} MB`,
			},
		],
	};
}
