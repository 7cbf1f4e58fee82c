// SPDX-License-Identifier: Apache-2.0
/** Queries a daemon over its Unix socket, or at its URL. */
import { request as httpRequest } from 'node:http';
import type { Socket } from 'node:net';
import type { Config } from '../config/config.ts';
import { formatEndpoint } from '../model/address.ts';

export type DaemonAddress = { readonly socket: string } | { readonly url: string };

export interface Answer {
	readonly status: number;
	readonly body: string;
}

const timeoutMs = 5000;
/** Larger than any answer within the daemon's limits. */
const maxBytes = 64 << 20;

/** Where the daemon of this configuration listens, the Unix socket first; empty: nowhere. */
export function daemonAddressesOf({ http }: Config): DaemonAddress[] {
	const socket = http.socket === undefined ? [] : [{ socket: http.socket }];
	const url = http.listen === undefined ? [] : [{ url: `http://${formatEndpoint(http.listen)}` }];
	return [...socket, ...url];
}

export function formatDaemonAddress(address: DaemonAddress): string {
	return 'socket' in address ? address.socket : address.url;
}

/**
 * Rejects with Node's error if the connection fails. `path` begins with a slash; `onConnect` gets
 * the connection.
 */
export function getFromDaemon(
	address: DaemonAddress,
	path: string,
	onConnect?: (socket: Socket) => void,
): Promise<Answer> {
	const signal = AbortSignal.timeout(timeoutMs);
	const options = { signal, agent: false };
	return new Promise((resolve, fail) => {
		const reject = (error: unknown) =>
			fail(signal.aborted ? new Error(`timed out after ${timeoutMs / 1000} s`, { cause: error }) : error);
		const request =
			'socket' in address
				? httpRequest({ ...options, socketPath: address.socket, path })
				: httpRequest(new URL(path, address.url), options);
		if (onConnect !== undefined) request.once('socket', (socket) => socket.once('connect', () => onConnect(socket)));
		request.once('response', (response) => {
			const parts: Buffer[] = [];
			let bytes = 0;
			response.on('data', (part: Buffer) => {
				parts.push(part);
				bytes += part.length;
				if (bytes > maxBytes) response.destroy(new Error('the answer is too large'));
			});
			response.once('error', reject);
			response.once('end', () => resolve({ status: response.statusCode ?? 0, body: Buffer.concat(parts).toString() }));
		});
		request.once('error', reject);
		request.end();
	});
}

/** What an error of `getFromDaemon` means: no process listens there, access denied, or other. */
export function errorKindOf(error: unknown): 'not_listening' | 'denied' | 'other' {
	const { code = '' } = error as NodeJS.ErrnoException;
	if (['ENOENT', 'ECONNREFUSED', 'ENOTDIR'].includes(code)) return 'not_listening';
	return code === 'EACCES' || code === 'EPERM' ? 'denied' : 'other';
}
