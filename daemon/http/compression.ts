// SPDX-License-Identifier: Apache-2.0
/**
 * Compresses complete responses, all of which are text. `/metrics` is sent in chunks and compresses
 * itself (chunks.ts).
 */
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import type { FastifyInstance } from 'fastify';
import { negotiateGzip } from '../export/prometheus/accept.ts';

const gzipAsync = promisify(gzip);

/** Bytes. A shorter response fits into one packet without compression. */
const minBytes = 1024;

export function compressResponses(app: FastifyInstance): void {
	app.addHook('onSend', async ({ headers }, reply, payload) => {
		if (typeof payload !== 'string' || payload.length < minBytes) return payload;
		reply.header('vary', 'accept-encoding');
		if (!negotiateGzip(headers['accept-encoding'])) return payload;
		reply.header('content-encoding', 'gzip');
		// JSON is so repetitive that a higher level gains little
		return gzipAsync(payload, { level: constants.Z_BEST_SPEED });
	});
}
