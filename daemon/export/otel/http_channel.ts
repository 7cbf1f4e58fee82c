// SPDX-License-Identifier: Apache-2.0
/** OTLP over HTTP: one POST for each attempt. */
import * as http from 'node:http';
import * as https from 'node:https';
import { gzipSync } from 'node:zlib';
import type { Attempt, Channel } from './transport.ts';

export interface HttpOptions {
	readonly url: string;
	readonly compression: string;
	readonly headers: () => Promise<Record<string, string>>;
	readonly agentFactory: (protocol: string) => http.Agent | Promise<http.Agent>;
}

/** A response contains at most a message about rejected spans. */
const MAX_RESPONSE_BYTES = 65_536;
const retryableStatus = new Set([429, 502, 503, 504]);
const retryableErrors = new Set([
	'ECONNRESET',
	'ECONNREFUSED',
	'EPIPE',
	'ETIMEDOUT',
	'EAI_AGAIN',
	'ENOTFOUND',
	'ENETUNREACH',
	'EHOSTUNREACH',
]);

/** Milliseconds of a Retry-After header, which has seconds or a date; empty if it has neither. */
function retryAfterMs(header: string | undefined): { afterMs?: number } {
	if (header === undefined) return {};
	const ms = /^\d+$/.test(header) ? Number(header) * 1000 : Date.parse(header) - Date.now();
	return Number.isNaN(ms) ? {} : { afterMs: Math.max(ms, 0) };
}

function attemptOf(response: http.IncomingMessage, body: Buffer): Attempt {
	const status = response.statusCode ?? 0;
	if (status >= 200 && status < 300) return { status: 'done', body };
	const error = new Error(`the collector responded with ${status} ${response.statusMessage ?? ''}`.trimEnd());
	if (!retryableStatus.has(status)) return { status: 'failed', error };
	return { status: 'retry', error, ...retryAfterMs(response.headers['retry-after']) };
}

async function readBody(response: http.IncomingMessage): Promise<Buffer> {
	const chunks: Buffer[] = [];
	let size = 0;
	for await (const chunk of response as AsyncIterable<Buffer>) {
		size += chunk.length;
		if (size > MAX_RESPONSE_BYTES) throw new Error(`the response is longer than ${MAX_RESPONSE_BYTES} bytes`);
		chunks.push(chunk);
	}
	return Buffer.concat(chunks);
}

/** A channel to `options.url`. */
export async function createHttpChannel(options: HttpOptions): Promise<Channel> {
	const url = new URL(options.url);
	const agent = await options.agentFactory(url.protocol);
	const { request } = url.protocol === 'https:' ? https : http;
	const gzip = options.compression === 'gzip';

	async function attempt(message: Uint8Array, signal: AbortSignal): Promise<Attempt> {
		try {
			const body = gzip ? gzipSync(message) : message;
			const headers = {
				...(await options.headers()),
				'Content-Length': body.length,
				...(gzip && { 'Content-Encoding': 'gzip' }),
			};
			const response = await new Promise<http.IncomingMessage>((resolve, reject) => {
				const outgoing = request(url, { method: 'POST', headers, agent, signal }, resolve);
				outgoing.on('error', reject);
				outgoing.end(body);
			});
			return attemptOf(response, await readBody(response));
		} catch (error) {
			const failure = error as NodeJS.ErrnoException;
			return { status: retryableErrors.has(failure.code ?? '') ? 'retry' : 'failed', error: failure };
		}
	}

	return { attempt, close: () => agent.destroy() };
}
