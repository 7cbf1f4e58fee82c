// SPDX-License-Identifier: Apache-2.0
/**
 * Responses that share memory, on real sockets: a reader that is slow or disconnects early neither
 * receives nor corrupts a byte of another response.
 */
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
import type { PrometheusExporter } from '../../../daemon/export/prometheus/exporter.ts';
import { createHttp } from '../../../daemon/http/app.ts';
import { sendChunks } from '../../../daemon/http/chunks.ts';
import { listenTcp } from '../../../daemon/http/listen.ts';
import { listenUnix } from '../../../daemon/http/unix_socket.ts';
import { socketClosed } from '../../kit/daemon/socket_closed.ts';
import { accepts, chunksOf, type Format, isAnswer, largeSnapshots } from '../../kit/model/large_scrapes.ts';
import { fixtureExporter, fixtureView } from '../../kit/model/view.ts';
import { scaleTimeout } from '../../kit/timeouts.ts';

const cleanUp: (() => unknown)[] = [];
afterEach(async () => {
	for (const one of cleanUp.splice(0).reverse()) await one();
});

interface Endpoint {
	readonly address: { readonly port: number; readonly host: string } | { readonly path: string };
	/** The daemon's ends of the connections. */
	readonly sockets: Socket[];
}

interface Server {
	readonly tcp: Endpoint;
	readonly unix: Endpoint;
	/** The generation of the next responses: an index into `crowds`. */
	shown: number;
	/** Numbers of chunks that were rendered and released. */
	readonly chunks: { rendered: number; released: number };
	readonly log: object[];
}

/** A TCP and a Unix socket with one exporter, as in the daemon. */
async function start(
	change: (exporter: PrometheusExporter) => Partial<PrometheusExporter> = () => ({}),
): Promise<Server> {
	const directory = mkdtempSync(join(tmpdir(), 'toascope-'));
	cleanUp.push(() => rmSync(directory, { recursive: true }));
	const log: object[] = [];
	const logger = pino({ level: 'warn' }, { write: (line: string) => void log.push(JSON.parse(line)) });
	const exporter = fixtureExporter(() => largeSnapshots[server.shown]);
	const chunks = { rendered: 0, released: 0 };
	const counting: PrometheusExporter = {
		...exporter,
		// counting the requests would change the responses
		http: { countResponse() {}, countLimited() {} },
		async *render(format) {
			for await (const chunk of exporter.render(format)) {
				chunks.rendered++;
				yield chunk;
			}
		},
		release(chunk) {
			chunks.released++;
			exporter.release(chunk);
		},
	};
	const serve = () => {
		const app = createHttp({ view: fixtureView(), metrics: { ...counting, ...change(exporter) }, logger });
		const sockets: Socket[] = [];
		app.server.on('connection', (socket) => sockets.push(socket));
		cleanUp.push(() => app.close());
		return { app, sockets };
	};
	const [tcp, unix] = [serve(), serve()];
	await listenTcp(tcp.app, { family: 4, text: '127.0.0.1', port: 0 });
	const path = join(directory, 'socket');
	await listenUnix(unix.app, path);
	const { port } = tcp.app.server.address() as AddressInfo;
	const server: Server = {
		tcp: { address: { port, host: '127.0.0.1' }, sockets: tcp.sockets },
		unix: { address: { path }, sockets: unix.sockets },
		shown: 0,
		chunks,
		log,
	};
	return server;
}

/** Requests the metrics. Only the head of the response is read, until body() reads the rest. */
async function ask(endpoint: Endpoint, encoding: string, format: Format = 'prometheus'): Promise<IncomingMessage> {
	const { address } = endpoint;
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

const pollOptions = { timeout: scaleTimeout(15_000) };

/** Waits until the daemon can write no more to the latest connection, since its reader stopped. */
const untilStuck = async (endpoint: Endpoint) => {
	let written = -1;
	await expect
		.poll(() => {
			const socket = endpoint.sockets.at(-1) as Socket;
			const before = written;
			written = socket.bytesWritten - socket.writableLength;
			return socket.writableLength > 0 && before === written;
		}, pollOptions)
		.toBe(true);
};

describe('over HTTP', () => {
	it.each([
		['tcp', 'identity'],
		['unix', 'identity'],
		['unix', 'gzip'],
	] as const)(
		'a reader that stops (%s, %s) still gets every byte, and holds at most three chunks',
		async (name, encoding) => {
			const server = await start();
			const endpoint = server[name];
			const slow = await ask(endpoint, encoding);
			await untilStuck(endpoint);
			const { rendered, released } = server.chunks;
			expect(rendered - released).toBeLessThanOrEqual(3);
			// other responses reuse the released memory
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
			await expect.poll(() => server.chunks.rendered - server.chunks.released, pollOptions).toBe(0);
		},
	);

	it('readers that disconnect in the middle do not corrupt other responses', async () => {
		const server = await start();
		for (const generation of [0, 1, 2]) {
			server.shown = generation;
			const endpoint = generation % 2 === 0 ? server.unix : server.tcp;
			const aborted = await Promise.all(['identity', 'gzip', 'gzip'].map((encoding) => ask(endpoint, encoding)));
			const whole = [ask(endpoint, 'gzip').then(body), ask(server.tcp, 'identity', 'openmetrics').then(body)];
			for (const response of aborted) {
				await once(response, 'readable');
				response.destroy();
			}
			const [packed, plain] = (await Promise.all(whole)) as [Buffer, Buffer];
			expect([isAnswer(packed, generation), isAnswer(plain, generation, 'openmetrics')]).toEqual([true, true]);
		}
	});

	it('a chunk being compressed when the connection ends is released afterwards, a refused one never', async () => {
		const app = Fastify();
		cleanUp.push(() => app.close());
		// so many zeros compress into one buffer: the compressor's thread reads them in one step
		const [read, refused] = [Buffer.alloc(8 << 20), Buffer.alloc(1)];
		const released: Buffer[] = [];
		const steps: string[] = [];
		const release = (chunk: Buffer) => {
			released.push(chunk);
			steps.push('released');
		};
		app.get('/', async (request, reply) => {
			const { socket } = request.raw;
			socket.once('close', () => steps.push('gone'));
			const chunks = function* () {
				yield read;
				// as soon as the second chunk is queued behind the first
				setImmediate(() => socket.destroy());
				yield refused;
			};
			await sendChunks(request, reply, chunks(), { gzip: true, release });
		});
		const { port } = await listenTcp(app, { family: 4, text: '127.0.0.1', port: 0 });
		const socket = connect(port, '127.0.0.1');
		socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
		await socketClosed(socket);
		await expect.poll(() => steps, pollOptions).toEqual(['gone', 'released']);
		expect(released[0]).toBe(read);
	});

	it('pipelined responses that wait on their connection are complete', async () => {
		const server = await start();
		const { address } = server.unix;
		const socket = connect('path' in address ? address.path : '');
		cleanUp.push(() => socket.destroy());
		const request = 'GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: identity\r\n';
		socket.write(`${request}\r\n${request}\r\n${request}Connection: close\r\n\r\n`);
		await once(socket, 'readable');
		await untilStuck(server.unix);
		server.shown = 1;
		for (let scrape = 0; scrape < 3; scrape++) {
			expect(isAnswer(await body(await ask(server.tcp, 'identity')), 1)).toBe(true);
		}
		// only one response per connection is rendered at a time
		const found = unchunked(Buffer.concat(await socket.toArray()));
		expect(found.map((answer, at) => isAnswer(answer, at === 0 ? 0 : 1))).toEqual([true, true, true]);
	});

	it('a connection that ends with waiting responses leaves none in progress', async () => {
		const server = await start();
		const { address } = server.unix;
		const socket = connect('path' in address ? address.path : '');
		socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(2));
		await once(socket, 'readable');
		await untilStuck(server.unix);
		const { rendered } = server.chunks;
		const serverSocket = server.unix.sockets[0] as Socket;
		socket.destroy();
		await new Promise((resolve) => serverSocket.once('close', resolve));
		expect(isAnswer(await body(await ask(server.unix, 'gzip')), 0)).toBe(true);
		const all = (
			await chunksOf(
				fixtureExporter(() => largeSnapshots[0]),
				'prometheus',
			)
		).length;
		// at most one more chunk per request, which was being rendered when the connection ended
		expect(server.chunks.rendered - rendered).toBeLessThanOrEqual(all + 2);
	});

	it('HEAD returns the head, and renders no chunk', async () => {
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
		expect(server.chunks.rendered).toBe(0);
	});

	it.each([0, 3])('a failure after %i chunks is logged, and a part does not look complete', async (complete) => {
		const server = await start((exporter) => ({
			async *render(format) {
				let rendered = 0;
				for await (const chunk of exporter.render(format)) {
					if (rendered++ === complete) throw new Error('broken');
					yield chunk;
				}
			},
		}));
		const response = await ask(server.tcp, 'identity');
		const read = body(response).then(
			(bytes) => JSON.parse(String(bytes)).status,
			(error: NodeJS.ErrnoException) => error.code,
		);
		expect([response.statusCode, await read]).toEqual(complete === 0 ? [500, 500] : [200, 'ECONNRESET']);
		expect(server.log).toMatchObject([{ err: { message: 'broken' }, url: '/metrics' }]);
	});
});

/** The bodies of consecutive HTTP/1.1 responses, each with chunked encoding. */
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
