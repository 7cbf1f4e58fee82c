// SPDX-License-Identifier: Apache-2.0
/** Callers that send nonsense, nothing, too much, or do not read: on real sockets. Each is told, and nobody else waits. */
import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import pino from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { createHttp, type HttpLimits, httpLimits } from '../../daemon/http/app.ts';
import type { ClientSeries, Snapshot } from '../../daemon/model/snapshot.ts';
import { clients, snapshot, tableOf } from '../fixtures/snapshot.ts';
import { fixtureExporter, fixtureView } from '../fixtures/view.ts';

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
}

async function start(limits: Partial<HttpLimits> = {}, shown: Snapshot = snapshot): Promise<Server> {
	const log: LogLine[] = [];
	const logger = pino({ level: 'warn' }, { write: (line: string) => void log.push(JSON.parse(line)) });
	const view = { ...fixtureView(), snapshot: () => shown };
	const app = createHttp({ view, metrics: fixtureExporter(() => shown), logger, limits });
	cleanUp.push(() => app.close());
	await app.listen({ host: '127.0.0.1', port: 0 });
	return { app, port: (app.server.address() as AddressInfo).port, log };
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

/** Sends bytes; all that comes back until the other end closes, as answers. */
async function exchange(server: Server, request: string): Promise<Answer[]> {
	const socket = open(server);
	let text = '';
	socket.setEncoding('utf8').on('data', (piece: string) => {
		text += piece;
	});
	socket.write(request);
	await once(socket, 'close');
	return text
		.split(/(?=HTTP\/1\.1 \d{3} )/)
		.filter((answer) => answer !== '')
		.map((answer) => {
			const at = answer.indexOf('\r\n\r\n');
			return { status: Number(answer.slice(9, 12)), head: answer.slice(0, at), body: answer.slice(at + 4) };
		});
}

/** The last answer is a problem document. */
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

describe('nonsense', () => {
	it.each([
		['what is no HTTP', 'hello\r\n\r\n', 400, 'no'],
		['TLS', '\x16\x03\x01\x02\x00\x01\x00', 400, 'not a request'],
		['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'not a request'],
		['an unknown method', `FOO / HTTP/1.1\r\n${host}\r\n`, 400, 'not a request'],
		['a zero in the path', `GET /\0 HTTP/1.1\r\n${host}\r\n`, 400, 'not a request'],
		['two lengths', `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`, 400, 'not a request'],
		['a negative length', `${post}Content-Length: -5\r\n\r\n`, 400, 'not a request'],
		['no Host', 'GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'Host is missing'],
		['CONNECT', `CONNECT a:1 HTTP/1.1\r\n${host}\r\n`, 405, 'CONNECT'],
		['an Expect that cannot be met', `GET / HTTP/1.1\r\n${host}Expect: more\r\n\r\n`, 417, '100-continue'],
		['a type that is not JSON', `POST /v1/connections HTTP/1.1\r\n${host}Content-Length: 2\r\n\r\n{}`, 415, ''],
		['no JSON', `${post}Content-Length: 3\r\n\r\n{a}`, 400, 'not valid JSON'],
		['a compressed body', `${post}Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc`, 400, 'not valid JSON'],
		['a poisoned prototype', `${post}Content-Length: 17\r\n\r\n{"__proto__":{}} `, 400, 'not valid JSON'],
	])('is told: %s', async (_what, request, status, detail) => {
		expectProblem(await exchange(await start(), request), status, detail);
	});

	it('HTTP/1.0 needs no Host', async () => {
		expect(await exchange(await start(), 'GET /healthz HTTP/1.0\r\n\r\n')).toMatchObject([{ status: 200 }]);
	});
});

describe('too much', () => {
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
	])('is told: %s', async (_what, request, status, detail) => {
		expectProblem(await exchange(await start(), request), status, detail);
	});
});

describe('too slow', () => {
	const soon = { requestMs: 200 };
	it.each([
		['nothing at all', ''],
		['half a line', 'GET /healthz HT'],
		['half of the headers', 'GET /healthz HTTP/1.1\r\nHost: x\r\nX'],
		['half a body', `${post}Content-Length: 30\r\n\r\n{"queries"`],
	])('is told: %s', async (_what, request) => {
		expectProblem(await exchange(await start(soon), request), 408, 'too long to arrive');
	});

	it('is told: a byte now and then', async () => {
		const server = await start(soon);
		const socket = open(server);
		const letters = 'GET /healthz HTTP/1.1\r\nX: '.split('');
		const timer = setInterval(() => socket.write(letters.shift() ?? 'x'), 20);
		cleanUp.push(() => clearInterval(timer));
		let text = '';
		socket.on('data', (piece) => {
			text += piece;
		});
		await once(socket, 'close');
		expect(text).toMatch(/^HTTP\/1\.1 408 /);
	});

	it('keeps nobody else waiting', async () => {
		const server = await start({ requestMs: 60_000, connections: 50 });
		const slow = Array.from({ length: 49 }, () => open(server));
		for (const socket of slow) socket.write('GET /');
		expect(await isAlive(server)).toBe(true);
	});
});

describe('too many', () => {
	it('connections: the further ones are closed, which the log tells once', async () => {
		const server = await start({ connections: 1 });
		const first = open(server);
		first.write(`GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n`);
		await once(first, 'data');
		for (let further = 0; further < 3; further++) await once(open(server), 'close');
		expect(server.log).toMatchObject([{ level: 40, connections: 1 }]);
		first.destroy();
		await expect.poll(() => isAlive(server).catch(() => false), { timeout: 10_000 }).toBe(true);
	});

	it('requests on one connection: it ends after those that may wait, and the one that is told', async () => {
		const server = await start({ pipelined: 2 });
		const answers = await exchange(server, 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(100));
		expect(answers.map(({ status }) => status)).toEqual([200, 200, 429]);
		expectProblem(answers, 429, 'at most 2 requests');
	});

	it('one after the other on one connection are no such thing', async () => {
		const server = await start({ pipelined: 1, largeAnswers: 1 });
		const socket = open(server);
		for (let made = 0; made < 5; made++) {
			socket.write('GET /v1/clients HTTP/1.1\r\nHost: x\r\n\r\n');
			const [answer] = await once(socket, 'data');
			expect(String(answer)).toMatch(/^HTTP\/1\.1 200 /);
		}
	});

	/** Of 20,000 clients: more than the sockets hold. */
	const one = (_: unknown, at: number) => ({ ...clients[0], client: `2001:db8::${at.toString(16)}` }) as ClientSeries;
	const crowd: Snapshot = { ...snapshot, clients: tableOf(Array.from({ length: 20_000 }, one)) };

	it('large answers that nobody reads: further ones are refused, small ones are not', async () => {
		const server = await start({ largeAnswers: 2 }, crowd);
		const deaf = [open(server), open(server)];
		for (const socket of deaf) {
			socket.once('data', () => socket.pause());
			socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
		}
		await Promise.all(deaf.map((socket) => once(socket, 'data')));
		for (const path of ['/metrics', '/v1/clients?limit=10000']) {
			const refused = await fetch(`http://127.0.0.1:${server.port}${path}`);
			expect({ status: refused.status, after: refused.headers.get('retry-after') }).toEqual({
				status: 503,
				after: '1',
			});
			expect(await refused.json()).toMatchObject({ code: 'SERVICE_UNAVAILABLE' });
		}
		expect(await isAlive(server)).toBe(true);
		deaf[0]?.destroy();
		const scrape = async () => (await fetch(`http://127.0.0.1:${server.port}/metrics`)).status;
		await expect.poll(scrape, { timeout: 10_000 }).toBe(200);
	});

	it('a large answer that is not read within its time ends its connection', async () => {
		const server = await start({ largeAnswerMs: 200 }, crowd);
		const connected = once(server.app.server, 'connection');
		const deaf = open(server);
		deaf.once('data', () => deaf.pause());
		deaf.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n');
		const [theirs] = (await connected) as [Socket];
		await once(theirs, 'close');
		expect(await isAlive(server)).toBe(true);
	});
});
