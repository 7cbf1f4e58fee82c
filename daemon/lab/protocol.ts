// SPDX-License-Identifier: Apache-2.0
/** The protocol between the lab's client, its echo server and their callers. */

/**
 * Size of the header that starts a connection to the echo server: its id (16 bytes), how many bytes
 * the client sends and how many it expects back (32 bits each, big-endian; `send` includes the
 * header).
 */
export const headerSize = 24;
const idSize = 16;

export interface Header {
	/** 32 hex digits. */
	readonly id: string;
	readonly send: number;
	readonly receive: number;
}

export function encodeHeader(header: Header): Buffer {
	const bytes = Buffer.alloc(headerSize);
	bytes.write(header.id, 0, idSize, 'hex');
	bytes.writeUInt32BE(header.send, idSize);
	bytes.writeUInt32BE(header.receive, idSize + 4);
	return bytes;
}

export function decodeHeader(bytes: Buffer): Header {
	return {
		id: bytes.toString('hex', 0, idSize),
		send: bytes.readUInt32BE(idSize),
		receive: bytes.readUInt32BE(idSize + 4),
	};
}

/** Connections of one kind. */
export interface Batch {
	/** Source address of the first connection; without it the kernel chooses. */
	readonly from?: string;
	/** Number of source addresses, counted up from `from` and used in turn. Default 1. */
	readonly clients?: number;
	/** Connections in all. Default: one for each client. */
	readonly count?: number;
	/** Connections open at once, at most. Default 256. */
	readonly concurrency?: number;
	/** An address (no name) and port. */
	readonly to: string;
	readonly port: number;
	/** Bytes to the echo server, at least the header's 24. Default 24. */
	readonly send?: number;
	/** Bytes expected back from it. Default 0. */
	readonly receive?: number;
	/** For other servers than the echo server: sent as it is, then read until the server closes. */
	readonly text?: string;
	/** With `text`, for servers that do not close: the reply is complete when it ends with this. */
	readonly until?: string;
	/** Connections stay open until release(), so all are open at once, ignoring `concurrency`. */
	readonly hold?: boolean;
}

/** One connection as its client sees it: the ground truth of the lab. */
export interface ConnectionResult {
	/** 32 hex digits, in the header that the echo server reads. */
	readonly id: string;
	/** RFC 5952 text. */
	readonly client: string;
	readonly clientPort: number;
	/** Payload bytes. */
	readonly sent: number;
	readonly received: number;
	/** What the server answered; with `text` only, at most 64 KiB. */
	readonly reply?: string;
	readonly error?: string;
}

/** One connection as the echo server saw it, written when it ended. */
export interface EchoRecord {
	/** As in Result; empty if the connection ended before its header had arrived. */
	readonly id: string;
	/** What getpeername() returned. */
	readonly peer: string;
	readonly peerPort: number;
	readonly received: number;
	readonly sent: number;
	readonly error?: string;
}

/** Written to the client's standard input, one per line. */
export type Command =
	| { readonly command: number; readonly run: Batch }
	| { readonly command: number; readonly release: true };

/** Written to its standard output, one for each command. */
export type Answer = { readonly command: number; readonly results: readonly ConnectionResult[] };
