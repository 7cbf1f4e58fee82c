// SPDX-License-Identifier: Apache-2.0
/** An OTLP/HTTP receiver on loopback, whose responses the test chooses. */
import { once } from 'node:events';
import * as http from 'node:http';
import * as https from 'node:https';
import type { AddressInfo } from 'node:net';
import { gunzipSync } from 'node:zlib';
import { scaleTimeout } from '../timeouts.ts';
import {
	decodeLogsRequest,
	decodeMetricsRequest,
	decodeTraceRequest,
	type ReceivedMetric,
	type ReceivedRecord,
	type ReceivedSpan,
} from './otlp_decode.ts';

interface ReceivedRequest {
	readonly path: string;
	readonly headers: http.IncomingHttpHeaders;
	/** Uncompressed. */
	readonly body: Buffer;
}

interface Response {
	readonly status: number;
	readonly headers?: Record<string, string>;
	readonly body?: Buffer;
}

/**
 * How the receiver answers a request; with `hang` it reads the request and never answers. A function
 * answers when its promise resolves.
 */
export type Answer = Response | 'hang' | (() => Promise<Response>);

export interface OtlpReceiver {
	/** Base URL, in the form of OTEL_EXPORTER_OTLP_ENDPOINT; or the path of the socket. */
	readonly endpoint: string;
	readonly requests: readonly ReceivedRequest[];
	/** The spans of the protobuf requests that were answered with 200. */
	readonly spans: readonly ReceivedSpan[];
	/** The metrics of such requests, in the order of their arrival. */
	readonly metrics: readonly ReceivedMetric[];
	/** The log records of such requests. */
	readonly records: readonly ReceivedRecord[];
	/** Resolves when this many requests have arrived. Rejects after `timeoutMs`. */
	waitForRequests(count: number, timeoutMs?: number): Promise<void>;
	/** Resolves with all spans when this many have arrived. Rejects after `timeoutMs`. */
	waitForSpans(count: number, timeoutMs?: number): Promise<readonly ReceivedSpan[]>;
	/** Resolves with all log records when this many have arrived. Rejects after `timeoutMs`. */
	waitForRecords(count: number, timeoutMs?: number): Promise<readonly ReceivedRecord[]>;
	close(): Promise<void>;
}

interface ReceiverOptions {
	/** 0, the default, selects a free port. */
	readonly port?: number;
	/** Default: 127.0.0.1. */
	readonly host?: string;
	/** A key and a certificate, in PEM: the receiver speaks HTTPS. */
	readonly tls?: { readonly key: Buffer; readonly cert: Buffer };
	/** The path of a Unix socket to listen on instead. */
	readonly socket?: string;
}

/**
 * Starts a receiver.
 * @param answer how to answer the request with this number (from 0), to this path; default: 200
 */
export async function startOtlpReceiver(
	answer: (request: number, path: string) => Answer = () => ({ status: 200 }),
	{ port = 0, host = '127.0.0.1', tls, socket }: ReceiverOptions = {},
): Promise<OtlpReceiver> {
	const requests: ReceivedRequest[] = [];
	const spans: ReceivedSpan[] = [];
	const metrics: ReceivedMetric[] = [];
	const records: ReceivedRecord[] = [];
	const arrivals = new EventTarget();

	const server = tls === undefined ? http.createServer() : https.createServer(tls);
	server.on('request', async (incoming: http.IncomingMessage, response: http.ServerResponse) => {
		const chunks: Buffer[] = [];
		for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
		const raw = Buffer.concat(chunks);
		const body = incoming.headers['content-encoding'] === 'gzip' ? gunzipSync(raw) : raw;
		const chosen = answer(requests.length, incoming.url ?? '');
		requests.push({ path: incoming.url ?? '', headers: incoming.headers, body });
		const reply = typeof chosen === 'function' ? await chosen() : chosen;
		const protobuf = incoming.headers['content-type'] === 'application/x-protobuf';
		if (reply !== 'hang') {
			if (protobuf && reply.status === 200) {
				if (incoming.url?.endsWith('/v1/metrics')) metrics.push(...decodeMetricsRequest(body));
				else if (incoming.url?.endsWith('/v1/logs')) records.push(...decodeLogsRequest(body));
				else spans.push(...decodeTraceRequest(body));
			}
			response
				.writeHead(reply.status, { 'Content-Type': incoming.headers['content-type'], ...reply.headers })
				.end(reply.body);
		}
		arrivals.dispatchEvent(new Event('request'));
	});
	server.listen(socket === undefined ? { port, host } : { path: socket });
	await once(server, 'listening');

	async function waitFor(what: string, have: () => number, count: number, timeoutMs: number): Promise<void> {
		const signal = AbortSignal.timeout(timeoutMs);
		while (have() < count) {
			await once(arrivals, 'request', { signal }).catch(() => {
				throw new Error(`only ${have()} of ${count} ${what} within ${timeoutMs} ms`);
			});
		}
	}

	return {
		endpoint: socket ?? `http${tls === undefined ? '' : 's'}://${host}:${(server.address() as AddressInfo).port}`,
		requests,
		spans,
		metrics,
		records,
		waitForRequests: (count, timeoutMs = scaleTimeout(10_000)) =>
			waitFor('requests', () => requests.length, count, timeoutMs),
		async waitForSpans(count, timeoutMs = scaleTimeout(10_000)) {
			await waitFor('spans', () => spans.length, count, timeoutMs);
			return spans;
		},
		async waitForRecords(count, timeoutMs = scaleTimeout(10_000)) {
			await waitFor('records', () => records.length, count, timeoutMs);
			return records;
		},
		async close() {
			server.closeAllConnections();
			server.close();
			await once(server, 'close');
		},
	};
}
