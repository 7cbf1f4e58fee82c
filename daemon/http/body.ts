// SPDX-License-Identifier: Apache-2.0
/**
 * Request bodies stay raw bytes until they are processed: the parsed objects can need twenty times
 * as much memory.
 */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { HttpProblem } from './problem.ts';

/** Bytes that are allocated at first; most bodies are shorter. */
const initialBytes = 4096;

/** Passes bodies of `application/json` to the routes as a Buffer of at most `maxBytes` bytes. */
export function acceptJsonBodies(app: FastifyInstance, maxBytes: number): void {
	app.removeContentTypeParser('text/plain');
	app.addContentTypeParser('application/json', async ({ headers }: FastifyRequest, payload: AsyncIterable<Buffer>) => {
		const tooLarge = () => new HttpProblem(413, `the body is too large; the limit is ${maxBytes} bytes`);
		if (Number(headers['content-length'] ?? 0) > maxBytes) throw tooLarge();
		// copied at once: the body can arrive in chunks of one byte, each a separate object
		let body: Buffer = Buffer.allocUnsafeSlow(initialBytes);
		let length = 0;
		for await (const chunk of payload) {
			if (length + chunk.length > maxBytes) throw tooLarge();
			if (length + chunk.length > body.length) body = grow(body, length + chunk.length, maxBytes);
			chunk.copy(body, length);
			length += chunk.length;
		}
		return body.subarray(0, length);
	});
}

function grow(body: Buffer, minBytes: number, maxBytes: number): Buffer {
	const larger = Buffer.allocUnsafeSlow(Math.min(Math.max(2 * body.length, minBytes), maxBytes));
	body.copy(larger);
	return larger;
}

/**
 * Parses the body of a request.
 * @throws a Fastify error with status 400 if the body is not JSON
 */
export function parseJsonBody(app: FastifyInstance, request: FastifyRequest): Promise<unknown> {
	const parse = app.getDefaultJsonParser('error', 'error');
	const text = Buffer.isBuffer(request.body) ? request.body.toString() : '';
	return new Promise((resolve, reject) => {
		parse(request, text, (error, value) => (error == null ? resolve(value) : reject(error)));
	});
}
