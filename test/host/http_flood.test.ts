// SPDX-License-Identifier: Apache-2.0
/**
 * Attacks that any local user can make over HTTP: the daemon answers others meanwhile, and no user
 * gets more than the limits allow.
 */
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { floods, maxResponses } from '../../bench/flood.ts';
import { nobodyCaller, runAsNobody } from '../kit/daemon/caller_as.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { scaleTimeout } from '../kit/timeouts.ts';

const module = (path: string) => JSON.stringify(new URL(path, import.meta.url).href);
const [connections, requests] = [256, 3600];

/** Scrapes as Prometheus does: on a new connection, with the whole response within 10 s. */
async function scrape({ url }: Daemon): Promise<string> {
	const headers = { connection: 'close' };
	const response = await fetch(`${url}/metrics`, { headers, signal: AbortSignal.timeout(scaleTimeout(10_000)) });
	expect(response.status).toBe(200);
	return response.text();
}

test.each(Object.entries(floods))(
	`${connections} connections of another user, ${requests} requests each: %s`,
	{
		timeout: scaleTimeout(120_000),
	},
	async (name, request) => {
		await using daemon = await Daemon.start();
		const attack = runAsNobody(`
		const { flood } = await import(${module('../../bench/flood.ts')});
		const answers = await flood(${JSON.stringify(daemon.url)}, ${JSON.stringify(request)}, ${connections}, ${requests});
		console.log(JSON.stringify(answers));`);
		let scraped = 0;
		const ended = attack.printed.then(() => true);
		do {
			expect(await scrape(daemon)).toContain('toascope_build_info');
			scraped++;
		} while (!(await Promise.race([ended, Promise.resolve(false)])));
		const answers = (await attack.printed) as string[];
		expect(scraped).toBeGreaterThan(0);
		expect(answers.length).toBeGreaterThan(0);
		expect(answers.length).toBeLessThanOrEqual(connections * maxResponses);
		// the requests beyond the limit were not processed, those before it were, and all
		// connections have ended
		const samples = await daemon.metrics();
		const answered = Number(total(samples, 'toascope_http_requests_total')) - scraped;
		expect(answered).toBeLessThanOrEqual(connections * maxResponses);
		if (name === 'no_method') return;
		expect(Number(total(samples, 'toascope_http_limited_total', { limit: 'pipelined' }))).toBeGreaterThan(
			connections / 2,
		);
		expect(await daemon.logged(/an HTTP limit/)).toMatchObject({ level: 40, caller: nobodyCaller });
	},
);

test('scrapes continue while another user holds every connection slot and does not read responses', {
	timeout: scaleTimeout(120_000),
}, async () => {
	await using daemon = await Daemon.start();
	const { hostname: host, port } = new URL(daemon.url);
	const { child, printed } = runAsNobody(`
		import { connect } from 'node:net';
		const open = (text) => new Promise((resolve) => {
			const socket = connect({ host: ${JSON.stringify(host)}, port: ${port} }, () => { socket.write(text); resolve(); });
			socket.on('error', () => {}).pause();
		});
		for (let idle = 0; idle < 300; idle++) await open('');
		for (let stalled = 0; stalled < 64; stalled++) await open('GET /metrics HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n'.repeat(4));
		console.log('{}');
		process.stdin.on('end', () => process.exit()).resume();`);
	const { stdout, stdin } = child;
	await new Promise((resolve) => stdout?.once('data', resolve));
	for (let scraped = 0; scraped < 5; scraped++) expect(await scrape(daemon)).toContain('toascope_build_info');
	const samples = await daemon.metrics();
	expect(Number(total(samples, 'toascope_http_limited_total', { limit: 'connections_idle' }))).toBeGreaterThan(0);
	expect(await daemon.logged(/an HTTP limit/)).toMatchObject({ level: 40, caller: nobodyCaller });
	// the Unix socket has a connection limit of its own
	const answer = await new Promise<string>((resolve, reject) => {
		const socket = connect(daemon.socket, () => socket.write('GET /healthz HTTP/1.0\r\n\r\n'));
		let text = '';
		socket.on('error', reject).on('data', (chunk) => {
			text += chunk;
		});
		socket.on('close', () => resolve(text));
	});
	expect(answer).toMatch(/^HTTP\/1\.1 200 /);
	stdin?.end();
	await printed;
});
