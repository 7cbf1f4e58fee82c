// SPDX-License-Identifier: Apache-2.0
/**
 * Sends a response in chunks whose memory is reused. A chunk is released when the write that reads
 * it completes without an error, and never before: by then the kernel has copied the chunk, or the
 * compressor's thread has finished with it.
 */
import { pipeline, type Writable } from 'node:stream';
import { constants, createGzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { onceClosed } from './once_closed.ts';

/**
 * Maximum number of chunks of one response that are being read at a time. While one is read the
 * next is rendered, and none beyond that.
 */
const maxInFlight = 2;

export interface ChunksOptions {
	readonly gzip: boolean;
	/** Called with each chunk that is no longer read. */
	readonly release: (chunk: Buffer) => void;
}

/**
 * Resolves when the last chunk has been written, or the connection has ended.
 * @throws what rendering the first chunk throws. A later error aborts the response, so that its
 * reader does not mistake a part for the whole.
 */
export async function sendChunks(
	request: FastifyRequest,
	reply: FastifyReply,
	chunks: Iterable<Buffer> | AsyncIterable<Buffer>,
	{ gzip, release }: ChunksOptions,
): Promise<void> {
	const { raw } = reply;
	const { socket } = request.raw;
	let body: Writable | undefined;
	let inFlight = 0;
	let wake = () => {};
	// a destroyed stream emits 'close' only later
	const isGone = () => raw.destroyed || socket.destroyed;
	onceClosed(reply, socket, () => {
		body?.destroy();
		wake();
	});
	try {
		for await (const chunk of chunks) {
			body ??= startBody(reply, gzip);
			if (isGone()) return;
			inFlight++;
			body.write(chunk, (error) => {
				inFlight--;
				if (error == null) release(chunk);
				wake();
			});
			while (inFlight >= maxInFlight && !isGone()) {
				const { promise, resolve } = Promise.withResolvers<void>();
				wake = resolve;
				await promise;
			}
		}
		body ??= startBody(reply, gzip);
		if (!isGone()) body.end();
	} catch (err) {
		if (body === undefined) throw err;
		logLine(request.log, logLines.requestFailed, { err, url: request.url });
		raw.destroy();
	}
}

/**
 * Sends the head of the response, and returns the stream for its body. From here on Fastify no
 * longer handles the response: its own streams do not report when a chunk has been read.
 */
function startBody(reply: FastifyReply, gzip: boolean): Writable {
	const { raw } = reply;
	if (gzip) reply.header('content-encoding', 'gzip');
	reply.hijack();
	if (raw.destroyed) return raw;
	raw.writeHead(200, reply.getHeaders() as Record<string, string>);
	if (!gzip) return raw;
	// the text is so repetitive that a higher level gains little
	const compressed = createGzip({ level: constants.Z_BEST_SPEED });
	// after an error both streams are destroyed: the reader gets a truncated response
	pipeline(compressed, raw, () => {});
	return compressed;
}
