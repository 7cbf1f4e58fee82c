// SPDX-License-Identifier: Apache-2.0
/**
 * Bounds what answers hold in memory while they wait for their readers. Who asks without reading gets refusals and a
 * closed connection, and nobody else goes short.
 */
import type { Socket } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { HttpProblem } from './problem.ts';

export interface AnswerLimits {
	/** Requests of one connection that wait for their answers (pipelining). */
	readonly pipelined: number;
	/** Answers of the routes that are `large`, over all connections. */
	readonly largeAnswers: number;
	/** Milliseconds that a large answer may take to be read. */
	readonly largeAnswerMs: number;
}

/** The `config` of a route whose answers have megabytes. */
export const large = { config: { large: true } } as const;

function isLarge(request: FastifyRequest): boolean {
	return (request.routeOptions.config as { large?: boolean }).large === true;
}

/** Calls back once: when the answer has gone, or its connection. */
export function onceGone(reply: FastifyReply, socket: Socket, then: () => void): void {
	const gone = () => {
		reply.raw.off('close', gone);
		socket.off('close', gone);
		then();
	};
	reply.raw.once('close', gone);
	socket.once('close', gone);
}

export function limitAnswers(app: FastifyInstance, limits: AnswerLimits): void {
	const waiting = new WeakMap<Socket, number>();
	let underWay = 0;
	app.addHook('onRequest', async (request, reply) => {
		const { socket } = request.raw;
		const before = waiting.get(socket) ?? 0;
		waiting.set(socket, before + 1);
		// the connection ends with the answer to the first that was one too many
		if (before > limits.pipelined) return reply.hijack();
		if (before === limits.pipelined) {
			reply.header('connection', 'close');
			throw new HttpProblem(429, `at most ${limits.pipelined} requests may wait on one connection`);
		}
		let timer: NodeJS.Timeout | undefined;
		onceGone(reply, socket, () => {
			waiting.set(socket, (waiting.get(socket) ?? 1) - 1);
			if (timer === undefined) return;
			clearTimeout(timer);
			underWay--;
		});
		if (!isLarge(request)) return undefined;
		if (underWay >= limits.largeAnswers) {
			reply.header('retry-after', '1');
			throw new HttpProblem(503, `${limits.largeAnswers} large answers are on their way: ask again later`);
		}
		underWay++;
		timer = setTimeout(() => socket.destroy(), limits.largeAnswerMs).unref();
		return undefined;
	});
}
