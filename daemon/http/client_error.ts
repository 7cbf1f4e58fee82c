// SPDX-License-Identifier: Apache-2.0
/** Answers what is no HTTP request at all, on the bare socket. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { type ProblemStatus, problemBody, problemType, STATUS_CODES } from './problem.ts';

const answers: Readonly<Record<string, readonly [status: ProblemStatus, detail: string]>> = {
	HPE_HEADER_OVERFLOW: [431, 'the header of the request is too large'],
	ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request took too long to arrive'],
};

/** Tells the caller what was wrong, where it can still be told, and closes the connection. */
export function answerClientError(error: { readonly code?: string }, socket: Socket): void {
	if (error.code === 'ECONNRESET' || !socket.writable) {
		socket.destroy();
		return;
	}
	answer(socket, ...(answers[error.code ?? ''] ?? [400, 'this is not a request of HTTP/1.1']));
}

/** What Node.js would answer by itself, without a problem document: CONNECT, and an Expect that we cannot meet. */
export function answerOddRequests(server: Server): void {
	server.on('connect', (_request, socket) => answer(socket, 405, 'CONNECT is not possible here'));
	server.on('checkExpectation', ({ socket }) => answer(socket, 417, 'only "Expect: 100-continue" can be met'));
}

function answer(socket: Duplex, status: ProblemStatus, detail: string): void {
	const body = JSON.stringify(problemBody(status, detail));
	const head = [
		`HTTP/1.1 ${status} ${STATUS_CODES[status]}`,
		`content-type: ${problemType}`,
		`content-length: ${Buffer.byteLength(body)}`,
		'connection: close',
	];
	socket.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => socket.destroy());
}
