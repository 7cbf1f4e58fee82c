// SPDX-License-Identifier: Apache-2.0
/**
 * Passes one request at a time to the parser of node:http. Node.js would otherwise create the
 * objects of all requests in a read of 64 KiB, thousands of them, before the first listener runs,
 * and a limit that counts these objects would come too late.
 */
import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Connections, HttpConnection } from './connections.ts';

const blankLine = '\r\n\r\n';
const [lineFeed, carriageReturn] = [10, 13];

export interface PipeliningOptions {
	readonly connections: Connections;
	/** Maximum number of requests on one connection that wait for their responses. */
	readonly maxPipelined: number;
	/** Called at once when a connection has sent one more. Nothing further is read from it. */
	readonly onExceeded: (connection: HttpConnection) => void;
}

/**
 * Must be called after `connections` has been constructed for the server, and before the server
 * listens.
 */
export function limitPipelining(server: Server, options: PipeliningOptions): void {
	server.on('connection', (socket) => {
		const connection = options.connections.of(socket);
		if (connection !== undefined) readByRequest(connection, options);
	});
}

/**
 * Every request header ends in a blank line, so a part of the stream that ends with its first blank
 * line yields at most one request, whatever else it contains. It is harmless to cut a body in this
 * way: it only arrives in more chunks.
 */
function readByRequest(connection: HttpConnection, { maxPipelined, onExceeded }: PipeliningOptions): void {
	const { socket } = connection;
	const parse = detachReader(socket);
	const read = (chunk: Buffer): void => {
		for (let from = 0; from < chunk.length && !connection.ending && !socket.destroyed; ) {
			const { size } = connection.waiting;
			// the part that ends a body can also begin one more request, which shows only later
			if (size > maxPipelined || (size === maxPipelined && !connection.inBody)) {
				// empty lines before a request are ignored
				if (size === maxPipelined && isBlank(chunk, from)) return;
				connection.ending = true;
				socket.pause();
				onExceeded(connection);
				return;
			}
			const to = endOfPart(chunk, from);
			parse(chunk.subarray(from, to));
			from = to;
			// node:http has paused the socket, because the caller does not read its responses
			if (from < chunk.length && socket.isPaused() && !connection.ending) {
				socket.unshift(chunk.subarray(from));
				return;
			}
		}
	};
	socket.on('data', read);
}

/**
 * Removes and returns the listener with which node:http reads the socket as it reads any stream.
 * node:http does not use its direct path from the socket to the parser once we add a listener.
 */
export function detachReader(socket: Socket): (chunk: Buffer) => void {
	const [reader, ...others] = socket.listeners('data');
	if (reader === undefined || others.length > 0) throw new Error('a socket does not have exactly one data listener');
	socket.removeListener('data', reader as (chunk: Buffer) => void);
	return reader as (chunk: Buffer) => void;
}

/**
 * The index after the next blank line, or the end of the chunk if there is none. The first bytes
 * can be the rest of a blank line that began in an earlier chunk.
 */
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
