// SPDX-License-Identifier: Apache-2.0
/**
 * Whether this Node.js reads HTTP as the limits for callers need it. They depend on what its documentation does not promise: one
 * listener that reads the socket, and the socket's descriptor. Asked once, before the first caller comes.
 */
import { connect, type Socket } from 'node:net';
import { ToascopeError } from '../errors.ts';
import { takeReader } from './pipelining.ts';

/** Not imported, as in problem.ts. */
const { createServer } = process.getBuiltinModule('node:http');

/** For one request within this process, on a busy machine. */
const timeoutMs = 10_000;

/**
 * One request by a socket of this process that nobody else knows. Does nothing where this host allows no such socket.
 *
 * @param hasDescriptor whether the socket's descriptor can be found
 * @throws {ToascopeError} NODE_UNSUPPORTED
 */
export async function requireKnownHttp(hasDescriptor: (socket: Socket) => boolean): Promise<void> {
	const fault = await tryRequest(hasDescriptor);
	if (fault === undefined) return;
	throw new ToascopeError(
		'NODE_UNSUPPORTED',
		`Node.js ${process.version} serves HTTP in a way not known yet: ${fault}`,
		{
			hint: 'use Node.js 24, which toascope is tested with; http.listen and http.socket set to off do without HTTP',
		},
	);
}

/** Returns what is not as it must be. */
function tryRequest(hasDescriptor: (socket: Socket) => boolean): Promise<string | undefined> {
	return new Promise((resolve) => {
		let client: Socket | undefined;
		let readByUs = false;
		const server = createServer((_request, response) => {
			response.end(() => end(readByUs ? undefined : 'it reads sockets past their listeners'));
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
				const parse = takeReader(socket);
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
			client.setTimeout(timeoutMs, () => end('a request gets no answer'));
			client.once('error', () => end(undefined));
			client.once('close', () => end('a request gets no answer')).resume();
		});
	});
}
