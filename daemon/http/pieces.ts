// SPDX-License-Identifier: Apache-2.0
/**
 * Sends an answer in pieces whose memory is used again. A piece goes back when the write that read it calls back
 * without an error, and never before: the kernel has then copied it, or the compressor's thread is through with it.
 */
import { pipeline, type Writable } from 'node:stream';
import { constants, createGzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { logLines, tell } from '../log_lines.ts';
import { onceGone } from './gone.ts';

/** Pieces of one answer that are being read: the next one is made meanwhile, and none beyond it. */
const readMost = 2;

export interface PiecesOptions {
	readonly gzip: boolean;
	/** Told of each piece that nobody reads any more. */
	readonly giveBack: (piece: Buffer) => void;
}

/**
 * Resolves when the last piece is on its way, or the connection has ended.
 * @throws what making the first piece throws; later the answer breaks off, so that nobody takes a part for the whole
 */
export async function sendPieces(
	request: FastifyRequest,
	reply: FastifyReply,
	pieces: Iterable<Buffer> | AsyncIterable<Buffer>,
	{ gzip, giveBack }: PiecesOptions,
): Promise<void> {
	const { raw } = reply;
	const { socket } = request.raw;
	let to: Writable | undefined;
	let reading = 0;
	let proceed = () => {};
	// what is destroyed is closed a little later
	const isGone = () => raw.destroyed || socket.destroyed;
	onceGone(reply, socket, () => {
		to?.destroy();
		proceed();
	});
	try {
		for await (const piece of pieces) {
			to ??= begin(reply, gzip);
			if (isGone()) return;
			reading++;
			to.write(piece, (error) => {
				reading--;
				if (error == null) giveBack(piece);
				proceed();
			});
			while (reading >= readMost && !isGone()) {
				const { promise, resolve } = Promise.withResolvers<void>();
				proceed = resolve;
				await promise;
			}
		}
		to ??= begin(reply, gzip);
		if (!isGone()) to.end();
	} catch (err) {
		if (to === undefined) throw err;
		tell(request.log, logLines.requestFailed, { err, url: request.url });
		raw.destroy();
	}
}

/** Where the body is to be written. The framework leaves the answer alone from now on: its own streams do not tell who reads what. */
function begin(reply: FastifyReply, gzip: boolean): Writable {
	const { raw } = reply;
	if (gzip) reply.header('content-encoding', 'gzip');
	reply.hijack();
	if (raw.destroyed) return raw;
	raw.writeHead(200, reply.getHeaders() as Record<string, string>);
	if (!gzip) return raw;
	// the text repeats itself so much that more effort gains little
	const packed = createGzip({ level: constants.Z_BEST_SPEED });
	// an error has destroyed both: the reader finds an answer that breaks off
	pipeline(packed, raw, () => {});
	return packed;
}
