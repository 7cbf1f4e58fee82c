// SPDX-License-Identifier: Apache-2.0
/** Asks the running daemon, over its Unix socket or its address. */
import { request } from 'node:http';
import type { Config } from '../config/config.ts';
import { formatEndpoint } from '../model/address.ts';

const timeoutMs = 3000;
/** More than the largest answer of `/metrics` that the limits of the configuration make usual. */
const maxBytes = 64 << 20;

/** Where the daemon of this configuration answers; undefined: nowhere. */
export function daemonPlace({ http }: Config): string | undefined {
	return http.socket ?? (http.listen === undefined ? undefined : formatEndpoint(http.listen));
}

/** The body of an answer. Rejects with what went wrong: Node's error, or one that names the status. */
export function ask(place: string, path: string): Promise<string> {
	const to = place.startsWith('/') ? { socketPath: place, path } : { ...hostAndPort(place), path };
	return new Promise((resolve, reject) => {
		const sent = request({ ...to, agent: false, signal: AbortSignal.timeout(timeoutMs) }, (response) => {
			const parts: Buffer[] = [];
			let bytes = 0;
			response.on('data', (part: Buffer) => {
				parts.push(part);
				bytes += part.length;
				if (bytes > maxBytes) response.destroy(new Error('the answer is too large'));
			});
			response.once('error', reject);
			response.once('end', () => {
				if (response.statusCode === 200) resolve(Buffer.concat(parts).toString());
				else reject(new Error(`${path} answered with status ${response.statusCode}`));
			});
		});
		sent.once('error', reject);
		sent.end();
	});
}

function hostAndPort(place: string): { host: string; port: number } {
	const at = place.lastIndexOf(':');
	return { host: place.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(place.slice(at + 1)) };
}
