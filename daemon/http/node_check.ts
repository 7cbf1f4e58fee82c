// SPDX-License-Identifier: Apache-2.0
/**
 * Checks whether this Node.js reads HTTP in the way that the limits for callers require. They
 * depend on two things that its documentation does not promise: a socket is read by one listener,
 * and its descriptor is accessible. The check runs once, before the first caller connects.
 */
import { connect, type Socket } from 'node:net';
import { ToascopeError } from '../errors.ts';
import { detachReader } from './pipelining.ts';

/** Not imported, for the reason given in problem.ts. */
const { createServer } = process.getBuiltinModule('node:http');

/** Milliseconds for one request within this process, even on a busy machine. */
const timeoutMs = 10_000;

/**
 * Makes one request to this process over an abstract Unix socket with a random name. Passes if the
 * host does not allow such a socket.
 *
 * @param hasDescriptor whether the socket's descriptor can be found
 * @throws {ToascopeError} NODE_UNSUPPORTED
 */
export async function requireSupportedHttp(hasDescriptor: (socket: Socket) => boolean): Promise<void> {
	const fault = await tryRequest(hasDescriptor);
	if (fault === undefined) return;
	throw new ToascopeError(
		'NODE_UNSUPPORTED',
		`Node.js ${process.version} serves HTTP in an unsupported way: ${fault}`,
		{
			hint: 'use Node.js 24, which toascope is tested with, or set http.listen and http.socket to off',
		},
	);
}

/** Resolves with what does not work as required, or undefined. */
function tryRequest(hasDescriptor: (socket: Socket) => boolean): Promise<string | undefined> {
	return new Promise((resolve) => {
		let client: Socket | undefined;
		let readByUs = false;
		const server = createServer((_request, response) => {
			response.end(() => end(readByUs ? undefined : 'it bypasses the data listener of a socket'));
		});
		const end = (fault: string | undefined) => {
			client?.destroy();
			server.closeAllConnections();
			server.close();
			resolve(fault);
		};
		server.on('connection', (socket) => {
			if (!hasDescriptor(socket)) return end('sockets have no descriptor');
			try {
				const parse = detachReader(socket);
				socket.on('data', (chunk: Buffer) => {
					readByUs = true;
					parse(chunk);
				});
			} catch (error) {
				end((error as Error).message);
			}
		});
		// an abstract name (unix(7)), which leaves no file
		const path = `\0toascope-${process.pid}-${Math.random().toString(36).slice(2)}`;
		server.once('error', () => end(undefined));
		server.listen({ path }, () => {
			client = connect({ path }, () => client?.write('GET / HTTP/1.1\r\nHost: toascope\r\nConnection: close\r\n\r\n'));
			client.setTimeout(timeoutMs, () => end('a request gets no response'));
			client.once('error', () => end(undefined));
			client.once('close', () => end('a request gets no response')).resume();
		});
	});
}
