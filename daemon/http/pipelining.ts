// SPDX-License-Identifier: Apache-2.0
/**
 * Hands the parser of node:http one request at a time. Node.js would make the objects of all requests in a read of
 * 64 KiB, thousands of them, before the first listener runs; a limit that counts these objects comes too late.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Connections, HttpConnection } from './connections.ts';

const blankLine = '\r\n\r\n';
const [lineFeed, carriageReturn] = [10, 13];

export interface PipeliningOptions {
	readonly connections: Connections;
	/** Requests of one connection that may wait for their answers. */
	readonly most: number;
	/** A connection has sent one more. It is not read any further; told at once. */
	readonly onExceeded: (connection: HttpConnection) => void;
}

/** To be called after `connections` has begun to listen to the server, and before the server listens. */
export function limitPipelining(server: Server, options: PipeliningOptions): void {
	server.on('connection', (socket) => {
		const connection = options.connections.of(socket);
		if (connection !== undefined) readByRequest(connection, options);
	});
}

/**
 * The header of every request ends in a blank line, so a part of the stream that ends with the first blank line makes
 * at most one request, whatever else is in it. Where a body is cut so, no harm is done: it comes in more pieces.
 */
function readByRequest(connection: HttpConnection, { most, onExceeded }: PipeliningOptions): void {
	const { socket } = connection;
	const parse = takeReader(socket);
	const read = (chunk: Buffer): void => {
		for (let from = 0; from < chunk.length && !connection.ending && !socket.destroyed; ) {
			const { size } = connection.waiting;
			// behind a body, one more has begun before it could be known
			if (size > most || (size === most && !connection.inBody)) {
				// before a request, empty lines are passed over
				if (size === most && isBlank(chunk, from)) return;
				connection.ending = true;
				socket.pause();
				onExceeded(connection);
				return;
			}
			const to = endOfPart(chunk, from);
			parse(chunk.subarray(from, to));
			from = to;
			// node:http reads no further while the caller does not read its answers
			if (from < chunk.length && socket.isPaused() && !connection.ending) {
				socket.unshift(chunk.subarray(from));
				return;
			}
		}
	};
	socket.on('data', read);
}

/** node:http reads the socket by this listener, as it reads any stream; a listener of ours ends its shorter way to the parser. */
export function takeReader(socket: Socket): (chunk: Buffer) => void {
	const [reader, ...others] = socket.listeners('data');
	if (reader === undefined || others.length > 0) throw new Error('it does not read a socket by one listener');
	socket.removeListener('data', reader as (chunk: Buffer) => void);
	return reader as (chunk: Buffer) => void;
}

/** Behind the next blank line, or the end of what has come. The first bytes may be the rest of a blank line. */
function endOfPart(chunk: Buffer, from: number): number {
	if (from === 0) {
		const rest = chunk.subarray(0, blankLine.length - 1).lastIndexOf(lineFeed) + 1;
		if (rest > 0) return rest;
	}
	const at = chunk.indexOf(blankLine, from, 'latin1');
	return at < 0 ? chunk.length : at + blankLine.length;
}

function isBlank(chunk: Buffer, from: number): boolean {
	return chunk.subarray(from).every((byte) => byte === lineFeed || byte === carriageReturn);
}
