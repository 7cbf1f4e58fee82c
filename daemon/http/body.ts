// SPDX-License-Identifier: Apache-2.0
/** Bodies are kept as the bytes that they are until somebody works on them: their objects may take twenty times as much. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { HttpProblem } from './problem.ts';

/** At first, bytes. Most bodies are shorter. */
const begin = 4096;

/** Bodies of `application/json` come to the routes as a Buffer of at most so many bytes. */
export function takeBodies(app: FastifyInstance, most: number): void {
	app.removeContentTypeParser('text/plain');
	app.addContentTypeParser('application/json', async ({ headers }: FastifyRequest, payload: AsyncIterable<Buffer>) => {
		const tooLarge = () => new HttpProblem(413, `the body is too large: at most ${most} bytes`);
		if (Number(headers['content-length'] ?? 0) > most) throw tooLarge();
		// copied at once: it may come in pieces of one byte, each an object of its own
		let body: Buffer = Buffer.allocUnsafeSlow(begin);
		let length = 0;
		for await (const piece of payload) {
			if (length + piece.length > most) throw tooLarge();
			if (length + piece.length > body.length) body = grown(body, length + piece.length, most);
			piece.copy(body, length);
			length += piece.length;
		}
		return body.subarray(0, length);
	});
}

function grown(body: Buffer, least: number, most: number): Buffer {
	const larger = Buffer.allocUnsafeSlow(Math.min(Math.max(2 * body.length, least), most));
	body.copy(larger);
	return larger;
}

/**
 * What is in the body of a request.
 * @throws an error of the framework, 400, where it is no JSON
 */
export function jsonOf(app: FastifyInstance, request: FastifyRequest): Promise<unknown> {
	const parse = app.getDefaultJsonParser('error', 'error');
	const text = Buffer.isBuffer(request.body) ? request.body.toString() : '';
	return new Promise((resolve, reject) => {
		parse(request, text, (error, value) => (error == null ? resolve(value) : reject(error)));
	});
}
