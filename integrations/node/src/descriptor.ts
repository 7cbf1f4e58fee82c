// SPDX-License-Identifier: Apache-2.0
/** The socket and the descriptor below what a server's handlers are given. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse, Http2Session, Http2Stream } from 'node:http2';
import { Socket } from 'node:net';

/**
 * What names a connection: a `net.Socket` or `tls.TLSSocket`; a request or a response of `node:http`
 * or `node:https`; a session, a stream, a request or a response of `node:http2`; or any object
 * whose `socket` is one of the sockets (the request of Fastify, the context of Koa).
 */
export type ConnectionSource =
	| Socket
	| IncomingMessage
	| ServerResponse
	| Http2Session
	| Http2Stream
	| Http2ServerRequest
	| Http2ServerResponse
	| { readonly socket: Socket | null };

/** The fields that are tried, in this order. */
interface Layers {
	readonly socket?: unknown;
	readonly session?: { readonly socket?: unknown };
}

/** The part of a handle of Node (TCP, Pipe, TLSWrap) that is read; `fd` is -1 once it is closed. */
export interface Handle {
	readonly fd?: number;
}

/**
 * Returns the socket of a connection; of HTTP/2, the session's proxy for it, which has the prototype
 * of the socket. Undefined for anything else.
 * @throws Error if it is a proxy of HTTP/2 whose session has ended
 */
export function socketOf(source: unknown): Socket | undefined {
	if (source instanceof Socket) return source;
	if (typeof source !== 'object' || source === null) return undefined;
	const { socket } = source as Layers;
	if (socket instanceof Socket) return socket;
	// only now: Express applications have another `session` on the request
	const below = (source as Layers).session?.socket;
	return below instanceof Socket ? below : undefined;
}

/**
 * Returns libuv's handle of a socket, undefined if it is destroyed. Node has no public API for the
 * descriptor; `_handle.fd` has been stable since it was added for this purpose, and a TLS socket's
 * handle has the descriptor of the connection below it.
 */
export function handleOf(socket: Socket): Handle | undefined {
	return (socket as { readonly _handle?: Handle | null })._handle ?? undefined;
}
