// SPDX-License-Identifier: Apache-2.0
/**
 * Malformed, oversized and stalled requests and responses on real sockets: each gets an error, and
 * other callers do not wait.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import type { PrometheusExporter } from '../../../daemon/export/prometheus/exporter.ts';
import { createHttp } from '../../../daemon/http/app.ts';
import type { CallerOf } from '../../../daemon/http/connections.ts';
import { type HttpLimits, httpLimits } from '../../../daemon/http/limits.ts';
import type { View } from '../../../daemon/http/view.ts';
import type { ClientSeries } from '../../../daemon/model/series.ts';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { socketClosed } from '../../kit/daemon/socket_closed.ts';
import { clients, snapshot, tableOf } from '../../kit/model/snapshot.ts';
import { fixtureExporter, fixtureView } from '../../kit/model/view.ts';

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
	for (const one of cleanUp.splice(0).reverse()) await one();
});

interface LogLine {
	readonly level: number;
	readonly msg: string;
}

interface Server {
	readonly app: FastifyInstance;
	readonly port: number;
	readonly log: LogLine[];
	readonly exporter: PrometheusExporter;
}

interface Daemon {
	readonly shown?: Snapshot;
	readonly view?: View;
	readonly callerOf?: CallerOf;
	readonly render?: PrometheusExporter['render'];
}

async function start(limits: Partial<HttpLimits> = {}, daemon: Daemon = {}): Promise<Server> {
	const { shown = snapshot, view = { ...fixtureView(), snapshot: () => shown }, callerOf, render } = daemon;
	const log: LogLine[] = [];
	const logger = pino({ level: 'warn' }, { write: (line: string) => void log.push(JSON.parse(line)) });
	const exporter = fixtureExporter(() => shown);
	const metrics = render === undefined ? exporter : { ...exporter, render };
	const app = createHttp({ view, metrics, logger, limits, ...(callerOf && { callerOf }) });
	cleanUp.push(() => app.close());
	await app.listen({ host: '127.0.0.1', port: 0 });
	return { app, port: (app.server.address() as AddressInfo).port, log, exporter };
}

/** How often a limit was exceeded. */
async function count({ exporter }: Server, limit: string): Promise<number> {
	let text = '';
	for await (const chunk of exporter.render('prometheus')) text += chunk;
	return Number(new RegExp(`^toascope_http_limited_total\\{limit="${limit}"\\} (.*)$`, 'm').exec(text)?.[1]);
}

/** Names of callers by local port, of the connections that named() opens. */
const names = new Map<number, string>();
const byPort: CallerOf = ({ remotePort }) => names.get(remotePort ?? 0) ?? 'other';

/** Opens a connection as this caller; resolves when the server has accepted it. */
async function named(server: Server, name: string): Promise<Socket> {
	const port = await freePort();
	names.set(port, name);
	const socket = connect({ port: server.port, host: '127.0.0.1', localPort: port });
	socket.on('error', () => undefined);
	cleanUp.push(() => socket.destroy());
	await once(server.app.server, 'connection');
	return socket.resume();
}

async function freePort(): Promise<number> {
	const probe = createServer().listen(0, '127.0.0.1');
	await once(probe, 'listening');
	const { port } = probe.address() as AddressInfo;
	await new Promise((resolve) => probe.close(resolve));
	return port;
}

/** Resolves when `wanted` requests have begun. */
async function requests({ app }: Server, wanted: number): Promise<void> {
	for (let begun = 0; begun < wanted; begun++) await once(app.server, 'request');
}

async function ended(socket: Socket): Promise<void> {
	await socketClosed(socket.resume());
}

function open({ port }: Server): Socket {
	const socket = connect(port, '127.0.0.1');
	socket.on('error', () => undefined);
	cleanUp.push(() => socket.destroy());
	return socket;
}

interface Answer {
	readonly status: number;
	readonly head: string;
	readonly body: string;
}

/** Sends bytes, and returns the responses that arrive until the server closes. */
async function exchange(server: Server, request: string): Promise<Answer[]> {
	const socket = open(server);
	let text = '';
	socket.setEncoding('utf8').on('data', (part: string) => {
		text += part;
	});
	socket.write(request);
	await socketClosed(socket);
	return text
		.split(/(?=HTTP\/1\.1 \d{3} )/)
		.filter((answer) => answer !== '')
		.map((answer) => {
			const at = answer.indexOf('\r\n\r\n');
			return { status: Number(answer.slice(9, 12)), head: answer.slice(0, at), body: answer.slice(at + 4) };
		});
}

/** Expects the last response to be a problem document. */
function expectProblem(answers: readonly Answer[], status: number, detail: string): void {
	const { status: found, head, body } = answers.at(-1) ?? { status: 0, head: '', body: '' };
	expect(found).toBe(status);
	expect(head).toMatch(/^content-type: application\/problem\+json/im);
	expect(head).toMatch(/^connection: close/im);
	expect(JSON.parse(body)).toMatchObject({ status, detail: expect.stringContaining(detail) });
}

const host = 'Host: x\r\nConnection: close\r\n';
const post = `POST /v1/connections HTTP/1.1\r\n${host}Content-Type: application/json\r\n`;
const isAlive = async ({ port }: Server) => (await fetch(`http://127.0.0.1:${port}/healthz`)).status === 200;

describe('malformed requests', () => {
	it.each([
		['bytes that are not HTTP', 'hello\r\n\r\n', 400, 'no'],
		['TLS', '\x16\x03\x01\x02\x00\x01\x00', 400, 'not a valid HTTP'],
		['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'not a valid HTTP'],
		['an unknown method', `FOO / HTTP/1.1\r\n${host}\r\n`, 400, 'not a valid HTTP'],
		['a zero in the path', `GET /\0 HTTP/1.1\r\n${host}\r\n`, 400, 'not a valid HTTP'],
		['two lengths', `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, 'not a valid HTTP'],
		['a negative length', `${post}Content-Length: -5\r\n\r\n`, 400, 'not a valid HTTP'],
		['no Host', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'no Host header'],
		['CONNECT', `CONNECT a:1 HTTP/1.1\r\n${host}\r\n`, 405, 'CONNECT'],
		['an Expect that cannot be met', `GET / HTTP/1.1\r\n${host}Expect: more\r\n\r\n`, 417, '100-continue'],
		['a type that is not JSON', `POST /v1/connections HTTP/1.1\r\n${host}Content-Length: 2\r\n\r\n{}`, 415, ''],
		['no JSON', `${post}Content-Length: 3\r\n\r\n{a}`, 400, 'not valid JSON'],
		['a compressed body', `${post}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc`, 400, 'not valid JSON'],
		['a poisoned prototype', `${post}Content-Length: 17\r\n\r\n{"__proto__":{}} `, 400, 'not valid JSON'],
	])('gets an error: %s', async (_what, request, status, detail) => {
		expectProblem(await exchange(await start(), request), status, detail);
	});

	it('HTTP/1.0 needs no Host', async () => {
		expect(await exchange(await start(), 'GET /healthz HTTP/1.0\r\n\r\n')).toMatchObject([{ status: 200 }]);
	});
});

describe('oversized requests', () => {
	const large = httpLimits.headerBytes;
	it.each([
		['a header', `GET / HTTP/1.1\r\n${host}X: ${'x'.repeat(large)}\r\n\r\n`, 431, 'header'],
		['many headers', `GET / HTTP/1.1\r\n${host}${'a: 1\r\n'.repeat(large / 4)}\r\n`, 431, 'header'],
		['a path', `GET /${'x'.repeat(large)} HTTP/1.1\r\n${host}\r\n`, 431, 'header'],
		['a body by its length', `${post}Content-Length: ${httpLimits.bodyBytes + 1}\r\n\r\n`, 413, 'too large'],
		[
			'a body in chunks',
			`${post}Transfer-Encoding: chunked\r\n\r\n50000\r\n${'x'.repeat(0x50000)}\r\n0\r\n\r\n`,
			413,
			'too large',
		],
	])('gets an error: %s', async (_what, request, status, detail) => {
		expectProblem(await exchange(await start(), request), status, detail);
	});
});

describe('slow requests', () => {
	const soon = { requestMs: 200 };
	it.each([
		['nothing at all', ''],
		['half a line', 'GET /healthz HT'],
		['half of the headers', 'GET /healthz HTTP/1.1\r\nHost: x\r\nX'],
		['half a body', `${post}Content-Length: 30\r\n\r\n{"queries"`],
	])('gets an error: %s', async (_what, request) => {
		expectProblem(await exchange(await start(soon), request), 408, 'too long to arrive');
	});

	it('gets an error: a byte now and then', async () => {
		const server = await start(soon);
		const socket = open(server);
		const letters = 'GET /healthz HTTP/1.1\r\nX: '.split('');
		const timer = setInterval(() => socket.write(letters.shift() ?? 'x'), 20);
		cleanUp.push(() => clearInterval(timer));
		let text = '';
		socket.on('data', (part) => {
			text += part;
		});
		await socketClosed(socket);
		expect(text).toMatch(/^HTTP\/1\.1 408 /);
	});

	it('does not keep other callers waiting', async () => {
		const server = await start({ requestMs: 60_000, connections: 50 });
		const slow = Array.from({ length: 49 }, () => open(server));
		for (const socket of slow) socket.write('GET /');
		expect(await isAlive(server)).toBe(true);
	});
});

describe('limits', () => {
	it('connections: an idle one is closed for a new one, which is logged once', async () => {
		const server = await start({ connections: 1 });
		const first = open(server);
		first.write('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n');
		await once(first, 'data');
		for (let further = 0; further < 3; further++) expect(await isAlive(server)).toBe(true);
		await ended(first);
		expect(server.log).toMatchObject([{ level: 40, limit: 'connections_idle', caller: '127.0.0.1' }]);
		expect(await count(server, 'connections_idle')).toBeGreaterThanOrEqual(3);
	});

	it('connections: while all of them are being served, the newest is closed', async () => {
		const view = { ...fixtureView(), peers: () => new Promise<never>(() => {}) };
		const server = await start({ connections: 2 }, { view });
		const asking = [open(server), open(server)];
		const begun = requests(server, 2);
		for (const socket of asking) socket.write('GET /v1/status?peers=on HTTP/1.1\r\nHost: x\r\n\r\n');
		await begun;
		await socketClosed(open(server).resume());
		expect(server.log).toMatchObject([{ level: 40, limit: 'connections' }]);
		expect(asking.map(({ closed }) => closed)).toEqual([false, false]);
	});

	it('connections: the caller with the most loses one, even if another is idle for longer', async () => {
		const server = await start({ connections: 4 }, { callerOf: byPort });
		const [few, many] = [await named(server, 'few'), [] as Socket[]];
		for (let more = 0; more < 3; more++) many.push(await named(server, 'many'));
		const newest = await named(server, 'few');
		await socketClosed(many[0] as Socket);
		expect([few, newest, ...many].map(({ closed }) => closed)).toEqual([false, false, true, false, false]);
		// and the caller with the most cannot displace others
		await named(server, 'many');
		await socketClosed(many[1] as Socket);
		expect([few, newest].map(({ closed }) => closed)).toEqual([false, false]);
	});

	it('connections: many callers with one each do not keep a new one out for long', async () => {
		const server = await start({ connections: 3 }, { callerOf: byPort });
		const held = [await named(server, 'a'), await named(server, 'b'), await named(server, 'c')];
		await expect
			.poll(
				async () => {
					await named(server, 'd');
					return held.map(({ closed }) => closed);
				},
				{ timeout: 10_000, interval: 300 },
			)
			.toEqual([true, false, false]);
	});

	it('connections: a caller that sends slowly is closed for a new one, one being served is not', async () => {
		const view = { ...fixtureView(), peers: () => new Promise<never>(() => {}) };
		const server = await start({ connections: 2 }, { view });
		const [answered, slow] = [open(server), open(server)];
		const begun = requests(server, 2);
		answered.write('GET /v1/status?peers=on HTTP/1.1\r\nHost: x\r\n\r\n');
		slow.write(`${post}Content-Length: 30\r\n\r\n{`);
		await begun;
		expect(await isAlive(server)).toBe(true);
		await ended(slow);
		expect(answered.closed).toBe(false);
	});

	it.each([
		['that succeed', 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n', 200],
		['without Host', 'GET /v1/status?peers=on HTTP/1.1\r\n\r\n', 400],
		['for an unknown path', 'GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n', 404],
		['with a method that is not allowed', 'DELETE /healthz HTTP/1.1\r\nHost: x\r\n\r\n', 405],
		['with a path that is not valid', 'GET /%f HTTP/1.1\r\nHost: x\r\n\r\n', 400],
	])('pipelined requests %s: those beyond the limit are not handled', async (_which, request, status) => {
		const server = await start({ pipelined: 2 });
		let handled = 0;
		server.app.server.on('request', () => handled++);
		const answers = await exchange(server, request.repeat(3600));
		expect(answers.map((one) => one.status)).toEqual([status, status, 429]);
		expectProblem(answers, 429, 'at most 2 requests');
		expect(handled).toBe(2);
		expect(await count(server, 'pipelined')).toBe(1);
		expect(server.log).toMatchObject([{ level: 40, limit: 'pipelined' }]);
	});

	it('pipelined requests with bodies: at most one beyond the limit is handled', async () => {
		const server = await start({ pipelined: 2 });
		let handled = 0;
		server.app.server.on('request', () => handled++);
		const one = 'POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}';
		expect((await exchange(server, one.repeat(1000))).at(-1)?.status).toBe(429);
		expect(handled).toBeLessThanOrEqual(3);
	});

	it('an invalid request after valid ones: the valid ones are answered first', async () => {
		const view = { ...fixtureView(), peers: () => wait(50, { connections: 0, busiest: [], listening: [] }) };
		const request = 'GET /v1/status?peers=on HTTP/1.1\r\nHost: x\r\n\r\n';
		for (const [last, status] of [
			['hello\r\n\r\n', 400],
			[`CONNECT a:1 HTTP/1.1\r\n${host}\r\n`, 405],
			[`GET / HTTP/1.1\r\n${host}Expect: more\r\n\r\n`, 417],
		] as const) {
			const answers = await exchange(await start({}, { view }), request.repeat(2) + last);
			expect(answers.map((one) => one.status)).toEqual([200, 200, status]);
		}
	});

	it('valid requests, split anywhere: each gets its response', async () => {
		const server = await start();
		const body = JSON.stringify({ queries: [{ peer: '10.0.0.1:4711' }] }).replace(',', ',\r\n\r\n');
		const sent = [
			'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n',
			`POST /v1/connections HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${body.length + 4}\r\n\r\n\r\n\r\n${body}`,
			'\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n',
			`POST /v1/connections HTTP/1.1\r\n${host}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`,
		].join('');
		for (let cut = 1; cut < sent.length; cut += 7) {
			const socket = open(server);
			const sockets = once(server.app.server, 'connection');
			const [theirs] = (await sockets) as [Socket];
			// each part arrives as a separate read
			theirs.emit('data', Buffer.from(sent.slice(0, cut)));
			theirs.emit('data', Buffer.from(sent.slice(cut)));
			const text = String(Buffer.concat(await socket.toArray()));
			expect([...text.matchAll(/HTTP\/1\.1 (\d+) /g)].map(([, status]) => status)).toEqual([
				'200',
				'200',
				'404',
				'200',
			]);
		}
	});

	it('a body in chunks of one byte is assembled', async () => {
		const server = await start();
		const body = JSON.stringify({ queries: [{ peer: '10.0.0.1:4711' }] });
		const chunks = [...body].map((byte) => `1\r\n${byte}\r\n`).join('');
		const answers = await exchange(server, `${post}Transfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`);
		expect(answers).toMatchObject([{ status: 200, body: expect.stringContaining('2001:db8::1') }]);
	});

	it('headers: none is silently left out', async () => {
		const request = (headers: number) => `GET /healthz HTTP/1.1\r\n${host}${'a: 1\r\n'.repeat(headers)}\r\n`;
		const server = await start();
		expect(await exchange(server, request(httpLimits.headers - 2))).toMatchObject([{ status: 200 }]);
		expectProblem(await exchange(server, request(httpLimits.headers - 1)), 431, 'header');
		expect(await count(server, 'header')).toBe(1);
	});

	it('requests one after the other on one connection do not count as pipelined', async () => {
		const server = await start({ pipelined: 1, largeResponses: 1 });
		const socket = open(server);
		for (let sent = 0; sent < 5; sent++) {
			socket.write('GET /v1/clients HTTP/1.1\r\nHost: x\r\n\r\n');
			const [answer] = await once(socket, 'data');
			expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
		}
	});

	/** For a response about 20,000 clients: more than the socket buffers hold. */
	const one = (_: unknown, at: number) => ({ ...clients[0], client: `2001:db8::${at.toString(16)}` }) as ClientSeries;
	const bigTable: Snapshot = { ...snapshot, clients: tableOf(Array.from({ length: 20_000 }, one)) };

	/** Requests the metrics, and stops reading after the first bytes. */
	async function stalled(server: Server, caller?: string): Promise<Socket> {
		const socket = caller === undefined ? open(server) : await named(server, caller);
		socket.once('data', () => socket.pause());
		socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\n\r\n');
		await once(socket, 'data');
		return socket;
	}
	const scrape = async ({ port }: Server) => {
		const response = await fetch(`http://127.0.0.1:${port}/metrics`);
		return [response.status, (await response.text()).endsWith('\n')];
	};

	it('large responses that are not read are closed for those that are', async () => {
		const server = await start({ largeResponses: 4, largeResponseGraceMs: 50 }, { shown: bigTable });
		const readers: Socket[] = [];
		for (let more = 0; more < 4; more++) readers.push(await stalled(server));
		// more such callers, which wait to be next
		for (let more = 0; more < 8; more++) open(server).write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
		for (let scraped = 0; scraped < 3; scraped++) expect(await scrape(server)).toEqual([200, true]);
		expect(await count(server, 'large_answers_slowest')).toBeGreaterThan(0);
		expect(server.log).toMatchObject([{ level: 40, limit: 'large_answers_slowest', caller: '127.0.0.1' }]);
	});

	it('large responses: the caller with the most loses one', async () => {
		const limits = { largeResponses: 4, largeResponseGraceMs: 0 };
		const server = await start(limits, { shown: bigTable, callerOf: byPort });
		const few = await stalled(server, 'few');
		const many = [await stalled(server, 'many'), await stalled(server, 'many'), await stalled(server, 'many')];
		await stalled(server, 'few');
		// only now: this resumes them, and a response that is read needs no room
		await Promise.race(many.map((socket) => ended(socket)));
		expect(few.closed).toBe(false);
	});

	it('large responses: one of many callers with one each is closed for a caller with none', async () => {
		const server = await start({ largeResponses: 3, largeResponseGraceMs: 0 }, { shown: bigTable, callerOf: byPort });
		const held = [await stalled(server, 'a'), await stalled(server, 'b'), await stalled(server, 'c')];
		await stalled(server, 'd');
		await Promise.race(held.map((socket) => ended(socket)));
		expect(await count(server, 'large_answers_slowest')).toBe(1);
	});

	it('large responses that wait for the daemon are not closed: further large ones are refused', async () => {
		const held = Promise.withResolvers<void>();
		const render = async function* () {
			await held.promise;
			yield Buffer.from('a 1\n');
		};
		const server = await start({ largeResponses: 1, largeResponseGraceMs: 0, largeResponseQueueMs: 100 }, { render });
		const first = fetch(`http://127.0.0.1:${server.port}/metrics`);
		await once(server.app.server, 'request');
		for (const path of ['/metrics', '/v1/clients?limit=10000']) {
			const refused = await fetch(`http://127.0.0.1:${server.port}${path}`);
			expect({ status: refused.status, after: refused.headers.get('retry-after') }).toEqual({
				status: 503,
				after: '1',
			});
			expect(await refused.json()).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
		}
		expect(await isAlive(server)).toBe(true);
		held.resolve();
		expect([(await first).status, await (await first).text()]).toEqual([200, 'a 1\n']);
		expect((await fetch(`http://127.0.0.1:${server.port}/metrics`)).status).toBe(200);
	});

	it('a body that arrives slowly does not count as a large response', async () => {
		const server = await start({ largeResponses: 1 });
		const slow = open(server);
		slow.write(`${post}Content-Length: 30\r\n\r\n{`);
		await once(server.app.server, 'request');
		expect(await scrape(server)).toEqual([200, true]);
		expect(slow.closed).toBe(false);
	});

	it('a large response that is not read in time closes its connection', async () => {
		const server = await start({ largeResponseMs: 200 }, { shown: bigTable });
		const connected = once(server.app.server, 'connection');
		const stalled = open(server);
		stalled.once('data', () => stalled.pause());
		stalled.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
		const [theirs] = (await connected) as [Socket];
		await socketClosed(theirs);
		expect(await isAlive(server)).toBe(true);
	});
});
