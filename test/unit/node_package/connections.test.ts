// SPDX-License-Identifier: Apache-2.0
/**
 * clientOf() and diagnose() on everything that names a connection, where no option names a client:
 * the descriptor is found, nothing throws, and the answer is undefined.
 */
import '../../kit/node_package/built.ts';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import * as http from 'node:http';
import * as http2 from 'node:http2';
import * as https from 'node:https';
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { type ConnectionSource, clientOf, diagnose } from '../../../integrations/node/src/index.ts';
import { selfSigned } from '../../kit/node_package/self_signed.ts';

/** With a daemon on this host, or without. */
const asked = expect.stringMatching(/^NO_(TOASCOPE|CLIENT)$/);
const certificate = selfSigned();

const observe = (source: unknown) => {
	const { code } = diagnose(source as ConnectionSource);
	return { client: clientOf(source as ConnectionSource), code };
};

/** Listens on loopback for as long as `use` lasts. */
async function listening<T>(server: Server | http.Server, use: (port: number) => Promise<T>): Promise<T> {
	server.listen(0, '127.0.0.1');
	await once(server, 'listening');
	try {
		return await use((server.address() as AddressInfo).port);
	} finally {
		server.close();
	}
}

it('the addon is loaded', () => {
	expect(diagnose()).toEqual({ code: 'READY', message: 'the addon is loaded' });
});

describe('an open connection', () => {
	it('net.Socket, then destroyed', async () => {
		const server = createServer();
		await listening(server, async (port) => {
			const peer = connect(port, '127.0.0.1');
			const [socket] = (await once(server, 'connection')) as [Socket];
			expect(observe(socket)).toEqual({ client: undefined, code: asked });
			expect(observe({ socket })).toEqual({ client: undefined, code: asked });
			socket.destroy();
			expect(observe(socket)).toEqual({ client: undefined, code: 'NO_DESCRIPTOR' });
			peer.destroy();
		});
	});

	it('tls.TLSSocket', async () => {
		const server = tls.createServer(certificate);
		await listening(server, async (port) => {
			const peer = tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false });
			const [socket] = (await once(server, 'secureConnection')) as [tls.TLSSocket];
			expect(observe(socket)).toEqual({ client: undefined, code: asked });
			socket.destroy();
			expect(observe(socket)).toEqual({ client: undefined, code: 'NO_DESCRIPTOR' });
			peer.destroy();
		});
	});

	it.each([
		['node:http', () => http.createServer(), http.get, 'http'],
		['node:https', () => https.createServer(certificate), https.get, 'https'],
	] as const)('request and response of %s', async (_, create, get, scheme) => {
		const server = create();
		await listening(server, async (port) => {
			const options = { rejectUnauthorized: false, agent: false };
			get(`${scheme}://127.0.0.1:${port}/`, options).on('response', (response) => response.resume());
			const [request, response] = (await once(server, 'request')) as [http.IncomingMessage, http.ServerResponse];
			expect(observe(request)).toEqual({ client: undefined, code: asked });
			expect(observe(response)).toEqual({ client: undefined, code: asked });
			response.end();
			await once(response, 'close');
			// the response has given its socket back
			expect(observe(response)).toEqual({ client: undefined, code: 'NO_DESCRIPTOR' });
		});
	});

	it.each([
		['http', () => http2.createServer()],
		['https', () => http2.createSecureServer(certificate)],
	] as const)('session, stream, request and response of node:http2, %s', async (scheme, create) => {
		const server = create();
		await listening(server as Server, async (port) => {
			const peer = http2.connect(`${scheme}://127.0.0.1:${port}`, { rejectUnauthorized: false });
			peer.request({ ':path': '/' }).resume();
			const [request, response] = (await once(server, 'request')) as [
				http2.Http2ServerRequest,
				http2.Http2ServerResponse,
			];
			const { stream } = request;
			const session = stream.session as http2.Http2Session;
			for (const source of [request, response, stream, session, session.socket, request.socket]) {
				expect(observe(source)).toEqual({ client: undefined, code: asked });
			}
			const proxy = request.socket;
			session.destroy();
			await once(session, 'close');
			for (const source of [request, response, stream, session, proxy]) {
				expect(observe(source)).toEqual({ client: undefined, code: 'NO_DESCRIPTOR' });
			}
			peer.destroy();
		});
	});
});

it('a Unix socket is not asked for TCP', async () => {
	const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	const server = createServer();
	server.listen(join(directory, 'socket'));
	await once(server, 'listening');
	const peer = connect(join(directory, 'socket'));
	const [socket] = (await once(server, 'connection')) as [Socket];
	expect(observe(socket)).toEqual({ client: undefined, code: 'NO_TOASCOPE' });
	for (const each of [socket, peer]) each.destroy();
	server.close();
	rmSync(directory, { recursive: true });
});

const throwing = {
	get socket(): never {
		throw new Error('no');
	},
};

it.each([
	['null', null],
	['undefined', undefined],
	['a number', 3],
	['a function', () => 3],
	['an empty object', {}],
	['a getter that throws', throwing],
	['a socket that was never connected', new Socket()],
	['a session of Express', { session: { user: 'someone' }, socket: null }],
	['a client session of HTTP/2 that ended', { session: { socket: throwing } }],
])('%s is not a connection', (_, source) => {
	expect(clientOf(source as never)).toBeUndefined();
	if (source !== undefined) expect(diagnose(source as never).code).toBe('NO_DESCRIPTOR');
});
