// SPDX-License-Identifier: Apache-2.0
/**
 * toascope-load's client over HTTP: only a complete response with status 200 counts as a
 * connection, everything else as an error.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { isReadyLine, stop, untilReady } from '../../../daemon/lab/process.ts';

const program = new URL('../../../build/bench/toascope-load', import.meta.url).pathname;
const body = 'x'.repeat(10);
const tries = 3;
/** The head of a response, of this length. */
const head = (bytes: number) => `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(bytes - 24)}\r\n\r\n`;

const open: (() => Promise<unknown>)[] = [];
afterEach(async () => {
	for (const close of open.splice(0).reverse()) await close();
});

/** A server that calls `answer` with each complete request. */
async function serve(answer: (socket: Socket, request: string) => void): Promise<Server> {
	const server = createServer((socket) => {
		let request = '';
		socket.setEncoding('latin1').on('data', (part) => {
			request += part;
			if (request.endsWith('\r\n\r\n')) answer(socket, request);
		});
		socket.on('error', () => {});
	}).listen(0, '127.0.0.1');
	await once(server, 'listening');
	open.push(() => new Promise((resolve) => server.close(resolve)));
	return server;
}

/** The client's report on `tries` connections. */
async function load(server: Server): Promise<Record<string, number>> {
	const options = ['--threads=1', '--batch=1', '--profile=none', '--http=/page', `--response=${body.length}`];
	const child: ChildProcess = spawn(program, ['client', ...options], { stdio: 'pipe' });
	open.push(() => stop(child));
	const answer = Promise.withResolvers<unknown>();
	await untilReady(child, 'toascope-load', isReadyLine, answer.resolve);
	child.stdin?.write(`run 10 ${tries} 0 ${(server.address() as AddressInfo).port}\n`);
	return (await answer.promise) as Record<string, number>;
}

it.each([
	['of the usual form', `HTTP/1.1 200 OK\r\nServer: test\r\n\r\n${body}`],
	['without a field in its head', `HTTP/1.1 200 OK\r\n\r\n${body}`],
	['with the longest head', `${head(4096)}${body}`],
	['with an empty line in its body', `HTTP/1.1 200 OK\r\nA: b\r\n\r\n\r\n\r\n${body.slice(4)}`],
])('accepts a response %s', async (_, response) => {
	const requests: string[] = [];
	const server = await serve((socket, request) => {
		requests.push(request);
		socket.end(response);
	});
	const { connections, errors, received_bytes, sent_bytes } = await load(server);
	expect({ connections, errors, received_bytes }).toEqual({
		connections: tries,
		errors: 0,
		received_bytes: tries * response.length,
	});
	expect(requests).toHaveLength(tries);
	expect(requests[0]).toMatch(/^GET \/page HTTP\/1\.1\r\nHost: .*\r\n(.*\r\n)*Connection: close\r\n\r\n$/);
	expect(sent_bytes).toBe(requests.join('').length);
});

it.each([
	['with another status', `HTTP/1.1 404 Not Found\r\nA: b\r\n\r\n${body}`],
	['of another protocol', `HTTP/1.0 200 OK\r\nA: b\r\n\r\n${body}`],
	['cut off in its head', 'HTTP/1.1 200 OK\r\nA: b\r\n'],
	['cut off in its status', 'HTTP/1.1 2'],
	['with a body that is too short', `HTTP/1.1 200 OK\r\nA: b\r\n\r\n${body.slice(1)}`],
	['with a body that is too long', `HTTP/1.1 200 OK\r\nA: b\r\n\r\n${body}x`],
	['with a head that is one byte too long', `${head(4097)}${body}`],
	['that is empty', ''],
])('counts an error for a response %s', async (_, response) => {
	const server = await serve((socket) => socket.end(response));
	expect(await load(server)).toMatchObject({ connections: 0, errors: tries });
});

it('counts an error for a connection that is reset', async () => {
	const server = await serve((socket) => socket.resetAndDestroy());
	expect(await load(server)).toMatchObject({ connections: 0, errors: tries });
});
