// SPDX-License-Identifier: Apache-2.0
/** clientOf(): the client of a connection, as its TOA option names it. */
import { formatIPv4, formatIPv6, isMapped } from './address.ts';
import { type ConnectionSource, type Handle, handleOf, socketOf } from './descriptor.ts';
import { native } from './native.ts';

/** The real client of a connection. */
export interface Client {
	/** RFC 5952 text, or dotted decimal for an IPv4 client, whatever the family of the socket. */
	readonly address: string;
	/** Null if the option carries no port. */
	readonly port: number | null;
	readonly family: 4 | 6;
}

interface Known {
	readonly client: Client;
	/** The handle that was asked: a socket that connects again has another one. */
	readonly handle: Handle;
}

/**
 * The clients that were found. A connection never gets another client, so the answer stays valid,
 * also after the connection has closed. That there is no client is not kept: the option can arrive
 * with the first data.
 */
const known = new WeakMap<object, Known>();

const answer = native.addon === undefined ? new Uint8Array(20) : new Uint8Array(native.addon.answer);

function readAnswer(): Client {
	const port = ((answer[16] ?? 0) << 8) | (answer[17] ?? 0) || null;
	if (isMapped(answer)) return Object.freeze({ address: formatIPv4(answer, 12), port, family: 4 });
	return Object.freeze({ address: formatIPv6(answer), port, family: 6 });
}

/**
 * Asks the kernel about a descriptor. Returns the client, or the errno: ENOPROTOOPT where there is
 * no toascope, EINVAL where the connection has no client.
 */
export function lookupDescriptor(fd: number): Client | number {
	if (native.addon === undefined) return -1;
	const errno = native.addon.lookup(fd);
	return errno === 0 ? readAnswer() : errno;
}

function lookupSocket(source: ConnectionSource): Client | undefined {
	const socket = socketOf(source);
	if (socket === undefined) return undefined;
	const handle = handleOf(socket);
	const found = known.get(socket);
	if (found !== undefined && (handle === undefined || handle === found.handle)) return found.client;
	const fd = handle?.fd;
	if (handle === undefined || fd === undefined || fd < 0) return undefined;
	const client = lookupDescriptor(fd);
	if (typeof client === 'number') return undefined;
	known.set(socket, { client, handle });
	return client;
}

/**
 * Returns the real client of a connection that this process accepted, by one getsockopt() (about a
 * microsecond), or undefined:
 *
 * - the connection has no TOA option from a trusted sender (a direct connection), or none yet: until
 *   the first data has arrived, a later call can have an answer;
 * - there is no toascope (or `toa.ko`) on this host, or it does not serve this port;
 * - the connection is closed, and no call had an answer while it was open;
 * - it is not a TCP connection, or this is not Linux, or the addon cannot be loaded.
 *
 * diagnose() says which of these it is. It never throws.
 *
 * @example
 * createServer((request, response) => {
 * 	const client = clientOf(request);
 * 	response.end(client?.address ?? request.socket.remoteAddress);
 * });
 */
export function clientOf(source: ConnectionSource): Client | undefined {
	try {
		return lookupSocket(source);
	} catch {
		// a proxy of HTTP/2 throws after its session has ended
		return undefined;
	}
}
