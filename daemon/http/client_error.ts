// SPDX-License-Identifier: Apache-2.0
/**
 * Responses that belong to no request: the last one on a connection, sent after the responses to
 * all earlier requests.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Connections } from './connections.ts';
import { type ProblemStatus, problemBody, problemType, STATUS_CODES } from './problem.ts';

const problemOfCode: Readonly<Record<string, readonly [status: ProblemStatus, detail: string]>> = {
	HPE_HEADER_OVERFLOW: [431, 'the request headers are too large'],
	ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request took too long to arrive'],
};

/** Ends a connection with a problem document. */
export type EndWithProblem = (socket: Socket, status: ProblemStatus, detail: string) => void;

/** `onResponse` is called for each such response, as soon as it is decided. */
export function createProblemEnder(
	connections: Connections,
	onResponse: (status: ProblemStatus, caller: string) => void,
): EndWithProblem {
	return (socket, status, detail) => {
		const connection = connections.of(socket);
		onResponse(status, connection?.caller ?? '');
		if (connection === undefined || !connection.abandonBody()) {
			socket.destroy();
			return;
		}
		connection.ending = true;
		connection.onceIdle(() => write(socket, status, detail));
	};
}

/**
 * Handles input that is not an HTTP request, and requests that did not arrive in full: sends a
 * problem document where the socket is still writable.
 */
export function clientErrorHandler(end: EndWithProblem) {
	return (error: { readonly code?: string }, socket: Socket): void => {
		if (error.code === 'ECONNRESET' || !socket.writable) {
			socket.destroy();
			return;
		}
		end(socket, ...(problemOfCode[error.code ?? ''] ?? ([400, 'this is not a valid HTTP/1.1 request'] as const)));
	};
}

/**
 * Handles what Node.js would otherwise answer itself, without a problem document: CONNECT, and an
 * `Expect` that is not supported.
 */
export function handleConnectAndExpect(server: Server, end: EndWithProblem): void {
	server.on('connect', ({ socket }) => end(socket, 405, 'CONNECT is not supported'));
	server.on('checkExpectation', ({ socket }) => end(socket, 417, 'only "Expect: 100-continue" is supported'));
}

function write(socket: Socket, status: ProblemStatus, detail: string): void {
	const body = JSON.stringify(problemBody(status, detail));
	const head = [
		`HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
		`content-type: ${problemType}`,
		`content-length: ${Buffer.byteLength(body)}`,
		'connection: close',
	];
	socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
