// SPDX-License-Identifier: Apache-2.0
/** Answers that no request gets: the last word on a connection, after the answers to the requests that came before. */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Connections } from './connections.ts';
import { type ProblemStatus, problemBody, problemType, STATUS_CODES } from './problem.ts';

const answers: Readonly<Record<string, readonly [status: ProblemStatus, detail: string]>> = {
	HPE_HEADER_OVERFLOW: [431, 'the header of the request is too large'],
	ERR_HTTP_REQUEST_TIMEOUT: [408, 'the request took too long to arrive'],
};

/** Ends a connection with a problem document. */
export type EndWith = (socket: Socket, status: ProblemStatus, detail: string) => void;

/** `onAnswer`: told of each, when it is certain. */
export function endingWith(
	connections: Connections,
	onAnswer: (status: ProblemStatus, caller: string) => void,
): EndWith {
	return (socket, status, detail) => {
		const connection = connections.of(socket);
		onAnswer(status, connection?.caller ?? '');
		if (connection === undefined || !connection.giveUpBody()) {
			socket.destroy();
			return;
		}
		connection.ending = true;
		connection.onceAnswered(() => write(socket, status, detail));
	};
}

/** What is no HTTP request at all, or did not arrive: says what was wrong, where that can still be said. */
export function clientErrorHandler(end: EndWith) {
	return (error: { readonly code?: string }, socket: Socket): void => {
		if (error.code === 'ECONNRESET' || !socket.writable) {
			socket.destroy();
			return;
		}
		end(socket, ...(answers[error.code ?? ''] ?? ([400, 'this is not a request of HTTP/1.1'] as const)));
	};
}

/** What Node.js would answer by itself, without a problem document: CONNECT, and an Expect that we cannot meet. */
export function answerOddRequests(server: Server, end: EndWith): void {
	server.on('connect', ({ socket }) => end(socket, 405, 'CONNECT is not possible here'));
	server.on('checkExpectation', ({ socket }) => end(socket, 417, 'only "Expect: 100-continue" can be met'));
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
