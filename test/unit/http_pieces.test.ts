// SPDX-License-Identifier: Apache-2.0
/** Answers that share memory: whoever reads, slowly or not to the end, gets or spoils no byte of another's. On real sockets. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import Fastify from 'fastify';
import pino from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import type { PrometheusExporter } from '../../daemon/export/prometheus/exporter.ts';
import { createHttp } from '../../daemon/http/app.ts';
import { listenTcp } from '../../daemon/http/listen.ts';
import { sendPieces } from '../../daemon/http/pieces.ts';
import { listenUnix } from '../../daemon/http/unix_socket.ts';
import { accepts, crowds, type Format, isAnswer, piecesOf } from '../fixtures/crowds.ts';
import { patient } from '../fixtures/patience.ts';
import { socketClosed } from '../fixtures/socket_closed.ts';
import { fixtureExporter, fixtureView } from '../fixtures/view.ts';

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
	for (const one of cleanUp.splice(0).reverse()) await one();
});

interface Door {
	readonly address: { readonly port: number; readonly host: string } | { readonly path: string };
	/** The daemon's ends of its connections. */
	readonly sockets: Socket[];
}

interface Server {
	readonly tcp: Door;
	readonly unix: Door;
	/** Of which generation the next answers are. */
	shown: number;
	/** Pieces that were rendered, and those that were given back. */
	readonly pieces: { rendered: number; back: number };
	readonly log: object[];
}

/** TCP and Unix socket over one exporter, as in the daemon. */
async function start(
	change: (exporter: PrometheusExporter) => Partial<PrometheusExporter> = () => ({}),
): Promise<Server> {
	const directory = mkdtempSync(join(tmpdir(), 'toascope-'));
	cleanUp.push(() => rmSync(directory, { recursive: true }));
	const log: object[] = [];
	const logger = pino({ level: 'warn' }, { write: (line: string) => void log.push(JSON.parse(line)) });
	const exporter = fixtureExporter(() => crowds[server.shown]);
	const pieces = { rendered: 0, back: 0 };
	const counting: PrometheusExporter = {
		...exporter,
		// what is counted of the requests would change the answers
		http: { answered() {}, limited() {} },
		async *render(format) {
			for await (const piece of exporter.render(format)) {
				pieces.rendered++;
				yield piece;
			}
		},
		giveBack(piece) {
			pieces.back++;
			exporter.giveBack(piece);
		},
	};
	const door = () => {
		const app = createHttp({ view: fixtureView(), metrics: { ...counting, ...change(exporter) }, logger });
		const sockets: Socket[] = [];
		app.server.on('connection', (socket) => sockets.push(socket));
		cleanUp.push(() => app.close());
		return { app, sockets };
	};
	const [tcp, unix] = [door(), door()];
	await listenTcp(tcp.app, { family: 4, text: '127.0.0.1', port: 0 });
	const path = join(directory, 'socket');
	await listenUnix(unix.app, path);
	const { port } = tcp.app.server.address() as AddressInfo;
	const server: Server = {
		tcp: { address: { port, host: '127.0.0.1' }, sockets: tcp.sockets },
		unix: { address: { path }, sockets: unix.sockets },
		shown: 0,
		pieces,
		log,
	};
	return server;
}

/** Asks; of the answer nobody reads more than its head until body() does. */
async function ask(door: Door, encoding: string, format: Format = 'prometheus'): Promise<IncomingMessage> {
	const { address } = door;
	const where = 'path' in address ? { socketPath: address.path } : address;
	const headers = { accept: accepts[format], 'accept-encoding': encoding };
	const request = get({ ...where, path: '/metrics', agent: false, headers });
	const [response] = (await once(request, 'response')) as [IncomingMessage];
	cleanUp.push(() => response.destroy());
	return response;
}

async function body(response: IncomingMessage): Promise<Buffer> {
	const bytes = Buffer.concat(await response.toArray());
	return response.headers['content-encoding'] === 'gzip' ? gunzipSync(bytes) : bytes;
}

const patience = { timeout: patient(15_000) };

/** The daemon can write no more to this connection: its reader has stopped. */
const stuck = async (door: Door) => {
	let written = -1;
	await expect
		.poll(() => {
			const socket = door.sockets.at(-1) as Socket;
			const before = written;
			written = socket.bytesWritten - socket.writableLength;
			return socket.writableLength > 0 && before === written;
		}, patience)
		.toBe(true);
};

describe('over HTTP', () => {
	it.each([
		['tcp', 'identity'],
		['unix', 'identity'],
		['unix', 'gzip'],
	] as const)(
		'who stops reading (%s, %s) gets every byte as it was, and holds three pieces',
		async (name, encoding) => {
			const server = await start();
			const door = server[name];
			const slow = await ask(door, encoding);
			await stuck(door);
			const { rendered, back } = server.pieces;
			expect(rendered - back).toBeLessThanOrEqual(3);
			// others' answers go through the memory that has come back
			for (const [generation, format] of [
				[1, 'openmetrics'],
				[2, 'prometheus'],
			] as const) {
				server.shown = generation;
				const answers = await Promise.all([
					ask(server.tcp, 'identity', format).then(body),
					ask(server.unix, 'gzip', format).then(body),
					ask(server.unix, 'identity', format).then(body),
				]);
				expect(answers.map((answer) => isAnswer(answer, generation, format))).toEqual([true, true, true]);
			}
			expect(isAnswer(await body(slow), 0)).toBe(true);
			await expect.poll(() => server.pieces.rendered - server.pieces.back, patience).toBe(0);
		},
	);

	it('those that go away in the middle spoil nobody else', async () => {
		const server = await start();
		for (const generation of [0, 1, 2]) {
			server.shown = generation;
			const door = generation % 2 === 0 ? server.unix : server.tcp;
			const left = await Promise.all(['identity', 'gzip', 'gzip'].map((encoding) => ask(door, encoding)));
			const whole = [ask(door, 'gzip').then(body), ask(server.tcp, 'identity', 'openmetrics').then(body)];
			for (const response of left) {
				await once(response, 'readable');
				response.destroy();
			}
			const [packed, plain] = (await Promise.all(whole)) as [Buffer, Buffer];
			expect([isAnswer(packed, generation), isAnswer(plain, generation, 'openmetrics')]).toEqual([true, true]);
		}
	});

	it('what the compressor reads when the connection ends goes back after that, what it refuses never', async () => {
		const app = Fastify();
		cleanUp.push(() => app.close());
		// that many zeros fill no more than one of its buffers: its thread reads them at one go
		const [read, refused] = [Buffer.alloc(8 << 20), Buffer.alloc(1)];
		const back: Buffer[] = [];
		const steps: string[] = [];
		const giveBack = (piece: Buffer) => {
			back.push(piece);
			steps.push('back');
		};
		app.get('/', async (request, reply) => {
			const { socket } = request.raw;
			socket.once('close', () => steps.push('gone'));
			const pieces = function* () {
				yield read;
				// once the other one waits behind it
				setImmediate(() => socket.destroy());
				yield refused;
			};
			await sendPieces(request, reply, pieces(), { gzip: true, giveBack });
		});
		const { port } = await listenTcp(app, { family: 4, text: '127.0.0.1', port: 0 });
		const socket = connect(port, '127.0.0.1');
		socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
		await socketClosed(socket);
		await expect.poll(() => steps, patience).toEqual(['gone', 'back']);
		expect(back[0]).toBe(read);
	});

	it('answers that wait behind others of their connection are whole', async () => {
		const server = await start();
		const { address } = server.unix;
		const socket = connect('path' in address ? address.path : '');
		cleanUp.push(() => socket.destroy());
		const request = 'GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\n';
		socket.write(`${request}\r\n${request}\r\n${request}Connection: close\r\n\r\n`);
		await once(socket, 'readable');
		await stuck(server.unix);
		server.shown = 1;
		for (let scrape = 0; scrape < 3; scrape++) {
			expect(isAnswer(await body(await ask(server.tcp, 'identity')), 1)).toBe(true);
		}
		// of a connection one is made at a time
		const found = unchunked(Buffer.concat(await socket.toArray()));
		expect(found.map((answer, at) => isAnswer(answer, at === 0 ? 0 : 1))).toEqual([true, true, true]);
	});

	it('a connection that ends with answers that wait leaves nothing under way', async () => {
		const server = await start();
		const { address } = server.unix;
		const socket = connect('path' in address ? address.path : '');
		socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2));
		await once(socket, 'readable');
		await stuck(server.unix);
		const { rendered } = server.pieces;
		const theirs = server.unix.sockets[0] as Socket;
		socket.destroy();
		await new Promise((resolve) => theirs.once('close', resolve));
		expect(isAnswer(await body(await ask(server.unix, 'gzip')), 0)).toBe(true);
		const all = (
			await piecesOf(
				fixtureExporter(() => crowds[0]),
				'prometheus',
			)
		).length;
		// at most the one that was just being made, of each
		expect(server.pieces.rendered - rendered).toBeLessThanOrEqual(all + 2);
	});

	it('HEAD has the head, and makes no piece', async () => {
		const server = await start();
		const { address } = server.unix;
		const socket = connect('path' in address ? address.path : '');
		socket.write('HEAD /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n');
		const head = String(Buffer.concat(await socket.toArray()));
		expect(head).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
		expect(head).toMatch(/^content-encoding: gzip\r$/m);
		expect(head).toMatch(/^content-type: text\/plain; version=0\.0\.4/m);
		expect(head).toMatch(/^cache-control: no-store\r$/m);
		expect(head.endsWith('\r\n\r\n')).toBe(true);
		expect(server.pieces.rendered).toBe(0);
	});

	it.each([0, 3])('what fails after %i pieces is told, and no part passes for the whole', async (sound) => {
		const server = await start((exporter) => ({
			async *render(format) {
				let made = 0;
				for await (const piece of exporter.render(format)) {
					if (made++ === sound) throw new Error('broken');
					yield piece;
				}
			},
		}));
		const response = await ask(server.tcp, 'identity');
		const read = body(response).then(
			(bytes) => JSON.parse(String(bytes)).status,
			(error: NodeJS.ErrnoException) => error.code,
		);
		expect([response.statusCode, await read]).toEqual(sound === 0 ? [500, 500] : [200, 'ECONNRESET']);
		expect(server.log).toMatchObject([{ err: { message: 'broken' }, url: '/metrics' }]);
	});
});

/** The bodies of HTTP/1.1 answers one after the other, each in chunks. */
function unchunked(bytes: Buffer): Buffer[] {
	const bodies: Buffer[] = [];
	let at = 0;
	while (at < bytes.length) {
		at = bytes.indexOf('\r\n\r\n', at) + 4;
		const chunks: Buffer[] = [];
		for (;;) {
			const end = bytes.indexOf('\r\n', at);
			const length = Number.parseInt(bytes.toString('latin1', at, end), 16);
			chunks.push(bytes.subarray(end + 2, end + 2 + length));
			at = end + 2 + length + 2;
			if (length === 0) break;
		}
		bodies.push(Buffer.concat(chunks));
	}
	return bodies;
}
