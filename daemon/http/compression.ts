// SPDX-License-Identifier: Apache-2.0
/** Packs answers that are whole, all of them text. /metrics goes out in pieces, and packs itself (pieces.ts). */
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import type { FastifyInstance } from 'fastify';
import { negotiateGzip } from '../export/prometheus/accept.ts';

const pack = promisify(gzip);

/** Bytes. Shorter ones fit into a packet as they are. */
const least = 1024;

export function packAnswers(app: FastifyInstance): void {
	app.addHook('onSend', async ({ headers }, reply, payload) => {
		if (typeof payload !== 'string' || payload.length < least) return payload;
		reply.header('vary', 'accept-encoding');
		if (!negotiateGzip(headers['accept-encoding'])) return payload;
		reply.header('content-encoding', 'gzip');
		// JSON repeats itself so much that more effort gains little
		return pack(payload, { level: constants.Z_BEST_SPEED });
	});
}
