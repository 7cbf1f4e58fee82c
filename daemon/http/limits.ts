// SPDX-License-Identifier: Apache-2.0
/** What callers can take of one server, and what happens beyond it. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { HttpLimit } from '../export/prometheus/http_metrics.ts';
import { endingWith } from './client_error.ts';
import { type CallerOf, Connections } from './connections.ts';
import { onceGone } from './gone.ts';
import { type LargeAnswerLimits, LargeAnswers } from './large_answers.ts';
import { limitPipelining } from './pipelining.ts';
import { HttpProblem, type ProblemStatus } from './problem.ts';

/** Bytes, milliseconds, connections, requests. */
export interface HttpLimits extends LargeAnswerLimits {
	readonly headerBytes: number;
	readonly headers: number;
	readonly bodyBytes: number;
	/** To send the whole request. */
	readonly requestMs: number;
	/** Without a byte moving while a request is answered. */
	readonly stalledMs: number;
	/** Between two requests. */
	readonly keepAliveMs: number;
	/** Open at a time. */
	readonly connections: number;
	/** Requests of one connection that wait for their answers. */
	readonly pipelined: number;
}

export const httpLimits: HttpLimits = {
	headerBytes: 16 * 1024,
	headers: 100,
	bodyBytes: 256 * 1024,
	requestMs: 10_000,
	stalledMs: 30_000,
	// longer than the usual scrape intervals
	keepAliveMs: 75_000,
	connections: 256,
	pipelined: 4,
	largeAnswers: 16,
	largeAnswerMs: 60_000,
	largeAnswerGraceMs: 500,
	// Prometheus gives a scrape 10 s
	largeAnswerQueueMs: 8000,
};

/** The `config` of a route whose answers have megabytes. */
export const large = { config: { large: true } } as const;

/** In place of a route's pattern. */
const otherPath = 'other';

export interface LimitedBy {
	readonly limits: HttpLimits;
	readonly callerOf: CallerOf;
	readonly onAnswered: (path: string, code: string) => void;
	readonly onLimited: (limit: HttpLimit, caller: string) => void;
}

/**
 * To be called before any other hook is added, and before the server listens.
 *
 * @returns what ends a connection with a last answer
 */
export function limitCallers(app: FastifyInstance, { limits, callerOf, onAnswered, onLimited }: LimitedBy) {
	const { server } = app;
	const paths = new WeakMap<object, string>();
	const connections = new Connections({
		server,
		most: limits.connections,
		callerOf,
		onEnded: onLimited,
		onDone: (request, response) => {
			const code = response.writableFinished ? String(response.statusCode) : 'aborted';
			onAnswered(paths.get(request) ?? otherPath, code);
		},
	});
	const end = endingWith(connections, (status, caller) => {
		onAnswered(otherPath, String(status));
		const limit = limitsOfStatus[status];
		if (limit !== undefined) onLimited(limit, caller);
	});
	limitPipelining(server, {
		connections,
		most: limits.pipelined,
		onExceeded: ({ socket }) => end(socket, 429, `at most ${limits.pipelined} requests may wait on one connection`),
	});
	server.maxHeadersCount = limits.headers;
	server.on('timeout', (socket) => {
		const connection = connections.of(socket);
		if (connection !== undefined && connection.waiting.size > 0) onLimited('stalled', connection.caller);
		socket.destroy();
	});

	const answers = new LargeAnswers({ limits, onEnded: onLimited });
	const callerIn = ({ raw }: FastifyRequest) => connections.of(raw.socket)?.caller ?? '';
	app.addHook('onRequest', async (request) => {
		paths.set(request.raw, request.routeOptions.url ?? otherPath);
	});
	// the body is there: who sends it slowly takes no place from others
	app.addHook('preHandler', async (request, reply) => {
		const connection = connections.of(request.raw.socket);
		if (connection === undefined || !isLarge(request)) return;
		if (!(await answers.enter(connection))) {
			onLimited('large_answers', connection.caller);
			reply.header('retry-after', '1');
			throw new HttpProblem(503, `${limits.largeAnswers} large answers are on their way: ask again later`);
		}
		onceGone(reply, request.raw.socket, () => answers.leave(connection));
	});
	app.addHook('onError', async (request, _reply, error) => {
		const limit = limitsOfStatus[(error as { statusCode?: ProblemStatus }).statusCode ?? 500];
		if (limit !== undefined) onLimited(limit, callerIn(request));
	});
	return end;
}

const limitsOfStatus: { readonly [status in ProblemStatus]?: HttpLimit } = {
	408: 'request_time',
	413: 'body',
	429: 'pipelined',
	431: 'header',
};

function isLarge({ routeOptions }: FastifyRequest): boolean {
	return (routeOptions.config as { large?: boolean }).large === true;
}
