// SPDX-License-Identifier: Apache-2.0
/** The limits of one server for its callers, and what happens when they are exceeded. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { HttpLimit } from '../export/http_metrics.ts';
import { createProblemEnder } from './client_error.ts';
import { type CallerOf, Connections } from './connections.ts';
import { type LargeResponseLimits, LargeResponses } from './large_responses.ts';
import { onceClosed } from './once_closed.ts';
import { limitPipelining } from './pipelining.ts';
import { HttpProblem, type ProblemStatus } from './problem.ts';

/** In bytes or milliseconds, or a number of headers, connections or requests. */
export interface HttpLimits extends LargeResponseLimits {
	readonly headerBytes: number;
	readonly headers: number;
	readonly bodyBytes: number;
	/** Time within which a whole request must arrive. */
	readonly requestMs: number;
	/** Time without any byte transferred while a response is outstanding. */
	readonly stalledMs: number;
	/** Idle time between two requests. */
	readonly keepAliveMs: number;
	/** Connections that are open at the same time. */
	readonly connections: number;
	/** Requests on one connection that wait for their responses. */
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
	largeResponses: 16,
	largeResponseMs: 60_000,
	largeResponseGraceMs: 500,
	// Prometheus cancels a scrape after 10 s
	largeResponseQueueMs: 8000,
};

/** The `config` of a route whose responses are megabytes long. */
export const largeResponse = { config: { large: true } } as const;

/** Label value used where there is no route pattern. */
const otherPath = 'other';

export interface LimitOptions {
	readonly limits: HttpLimits;
	readonly callerOf: CallerOf;
	readonly onResponse: (path: string, code: string) => void;
	readonly onLimited: (limit: HttpLimit, caller: string) => void;
}

/**
 * Enforces the limits. Must be called before any other hook is added and before the server
 * listens.
 *
 * @returns a function that ends a connection with a final problem response
 */
export function enforceLimits(app: FastifyInstance, { limits, callerOf, onResponse, onLimited }: LimitOptions) {
	const { server } = app;
	const paths = new WeakMap<object, string>();
	const connections = new Connections({
		server,
		maxConnections: limits.connections,
		callerOf,
		onEnded: onLimited,
		onDone: (request, response) => {
			const code = response.writableFinished ? String(response.statusCode) : 'aborted';
			onResponse(paths.get(request) ?? otherPath, code);
		},
	});
	const end = createProblemEnder(connections, (status, caller) => {
		onResponse(otherPath, String(status));
		const limit = limitsOfStatus[status];
		if (limit !== undefined) onLimited(limit, caller);
	});
	limitPipelining(server, {
		connections,
		maxPipelined: limits.pipelined,
		onExceeded: ({ socket }) => end(socket, 429, `at most ${limits.pipelined} requests can wait on one connection`),
	});
	server.maxHeadersCount = limits.headers;
	server.on('timeout', (socket) => {
		const connection = connections.of(socket);
		if (connection !== undefined && connection.waiting.size > 0) onLimited('stalled', connection.caller);
		socket.destroy();
	});

	const largeResponses = new LargeResponses({ limits, onEnded: onLimited });
	const callerIn = ({ raw }: FastifyRequest) => connections.of(raw.socket)?.caller ?? '';
	app.addHook('onRequest', async (request) => {
		paths.set(request.raw, request.routeOptions.url ?? otherPath);
	});
	// preHandler runs once the body has arrived: a slow upload does not occupy a slot
	app.addHook('preHandler', async (request, reply) => {
		const connection = connections.of(request.raw.socket);
		if (connection === undefined || !isLarge(request)) return;
		if (!(await largeResponses.acquire(connection))) {
			onLimited('large_answers', connection.caller);
			reply.header('retry-after', '1');
			throw new HttpProblem(503, `${limits.largeResponses} large responses are in progress; retry later`);
		}
		onceClosed(reply, request.raw.socket, () => largeResponses.release(connection));
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
