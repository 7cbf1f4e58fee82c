// SPDX-License-Identifier: Apache-2.0
/** Asks a daemon over its Unix socket, or at its URL. */
import { request } from 'node:http';
import type { Socket } from 'node:net';
import type { Config } from '../config/config.ts';
import { formatEndpoint } from '../model/address.ts';

export type Place = { readonly socket: string } | { readonly url: string };

export interface Answer {
	readonly status: number;
	readonly body: string;
}

const timeoutMs = 5000;
/** More than any answer has within the daemon's limits. */
const maxBytes = 64 << 20;

/** Where the daemon of this configuration answers, the Unix socket first; empty: nowhere. */
export function placesOf({ http }: Config): Place[] {
	const socket = http.socket === undefined ? [] : [{ socket: http.socket }];
	const url = http.listen === undefined ? [] : [{ url: `http://${formatEndpoint(http.listen)}` }];
	return [...socket, ...url];
}

export function showPlace(place: Place): string {
	return 'socket' in place ? place.socket : place.url;
}

/** Rejects with what went wrong on the way: Node's error. `path` begins with a slash; `onConnect` gets the connection. */
export function ask(place: Place, path: string, onConnect?: (socket: Socket) => void): Promise<Answer> {
	const signal = AbortSignal.timeout(timeoutMs);
	const options = { signal, agent: false };
	return new Promise((resolve, fail) => {
		const reject = (error: unknown) =>
			fail(signal.aborted ? new Error(`it does not answer within ${timeoutMs / 1000} s`, { cause: error }) : error);
		const sent =
			'socket' in place
				? request({ ...options, socketPath: place.socket, path })
				: request(new URL(path, place.url), options);
		if (onConnect !== undefined) sent.once('socket', (socket) => socket.once('connect', () => onConnect(socket)));
		sent.once('response', (response) => {
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
		sent.once('error', reject);
		sent.end();
	});
}

/** What an error of `ask` means: nobody is there, we may not, or something else went wrong. */
export function kindOf(error: unknown): 'nobody' | 'denied' | 'other' {
	const { code = '' } = error as NodeJS.ErrnoException;
	if (['ENOENT', 'ECONNREFUSED', 'ENOTDIR'].includes(code)) return 'nobody';
	return code === 'EACCES' || code === 'EPERM' ? 'denied' : 'other';
}
