// SPDX-License-Identifier: Apache-2.0
/**
 * The HTTP application. The TCP and the Unix socket each get one of their own, alike. There is no
 * authentication: TCP is for loopback by default, the Unix socket has the file's permissions.
 */
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, LogController } from 'fastify';
import type { PrometheusExporter } from '../export/prometheus/exporter.ts';
import { logLines, tell } from '../log_lines.ts';
import { type AnswerLimits, limitAnswers } from './answers.ts';
import { answerClientError, answerOddRequests } from './client_error.ts';
import { packAnswers } from './compression.ts';
import { stringify } from './json.ts';
import type { View } from './ports.ts';
import { HttpProblem, problemOf, problemType } from './problem.ts';
import { addRoutes } from './routes.ts';

/** What callers can take: bytes, milliseconds, connections. */
export interface HttpLimits extends AnswerLimits {
	readonly headerBytes: number;
	readonly bodyBytes: number;
	/** To send the whole request. */
	readonly requestMs: number;
	/** Without a byte moving while a request is answered. */
	readonly stalledMs: number;
	/** Between two requests. */
	readonly keepAliveMs: number;
	/** Open at a time; further ones are closed at once. */
	readonly connections: number;
}

export const httpLimits: HttpLimits = {
	headerBytes: 16 * 1024,
	bodyBytes: 256 * 1024,
	requestMs: 10_000,
	stalledMs: 30_000,
	// longer than the usual scrape intervals
	keepAliveMs: 75_000,
	connections: 256,
	pipelined: 4,
	largeAnswers: 16,
	largeAnswerMs: 60_000,
};

/** In place of the compilers that would be loaded otherwise, and take megabytes of memory. */
function noSchemas(): never {
	throw new Error('no route has a schema');
}

/** How often Node.js looks for requests that take too long. */
const checkMs = 2000;
/** At most one line in this time about connections that were one too many. */
const complainMs = 60_000;

export interface HttpOptions {
	readonly view: View;
	readonly metrics: PrometheusExporter;
	readonly logger: FastifyBaseLogger;
	/** Default: `httpLimits`. */
	readonly limits?: Partial<HttpLimits>;
}

/** An application with all routes; hand it to listenTcp() or listenUnix(). close() ends its connections too. */
export function createHttp(options: HttpOptions): FastifyInstance {
	const limits = { ...httpLimits, ...options.limits };
	const app = Fastify({
		loggerInstance: options.logger,
		schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
		logController: new LogController({ disableRequestLogging: true }),
		http: {
			maxHeaderSize: limits.headerBytes,
			headersTimeout: limits.requestMs,
			// the hook below asks for it: Node.js answers without a problem document
			requireHostHeader: false,
			connectionsCheckingInterval: Math.min(checkMs, limits.requestMs),
		},
		requestTimeout: limits.requestMs,
		connectionTimeout: limits.stalledMs,
		keepAliveTimeout: limits.keepAliveMs,
		bodyLimit: limits.bodyBytes,
		forceCloseConnections: true,
		clientErrorHandler: answerClientError,
		frameworkErrors: (error, _request, reply) => {
			const problem = problemOf(error);
			(reply as FastifyReply).code(problem.status).type(problemType).send(stringify(problem));
		},
	});
	answerOddRequests(app.server);
	app.server.maxConnections = limits.connections;
	let complainedAt = Number.NEGATIVE_INFINITY;
	app.server.on('drop', () => {
		if (performance.now() - complainedAt < complainMs) return;
		complainedAt = performance.now();
		tell(app.log, logLines.tooManyConnections, { connections: limits.connections });
	});
	app.setReplySerializer(stringify);
	app.removeContentTypeParser('text/plain');
	app.setErrorHandler((error, request, reply) => {
		const problem = problemOf(error);
		if (problem.status === 500) tell(request.log, logLines.requestFailed, { err: error, url: request.url });
		return reply.code(problem.status).type(problemType).send(problem);
	});
	app.addHook('onRequest', async ({ raw }, reply) => {
		reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
		if (raw.headers.host === undefined && raw.httpVersion === '1.1') throw new HttpProblem(400, 'Host is missing');
	});

	limitAnswers(app, limits);

	const methods = new Map<string, Set<string>>();
	app.addHook('onRoute', ({ url, method }) => {
		const known = methods.get(url) ?? new Set();
		methods.set(url, known);
		for (const one of [method].flat()) known.add(one);
	});
	app.setNotFoundHandler((request, reply) => {
		const known = methods.get(request.url.split('?', 1)[0] ?? '');
		if (known === undefined)
			throw new HttpProblem(404, `there is nothing at this path, only at ${[...methods.keys()].join(', ')}`);
		const allowed = [...known].join(', ');
		reply.header('allow', allowed);
		throw new HttpProblem(405, `${request.method} is not possible here, only ${allowed}`);
	});

	packAnswers(app);
	app.register(async (scope) => addRoutes(scope, options.view, options.metrics));
	return app;
}
