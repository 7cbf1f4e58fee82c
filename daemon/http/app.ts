// SPDX-License-Identifier: Apache-2.0
/**
 * The HTTP application. The TCP and the Unix socket each get one of their own, alike. There is no
 * authentication: TCP is for loopback by default, the Unix socket has the file's permissions.
 */
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, LogController } from 'fastify';
import { codeOfError, isSystemError } from '../errors.ts';
import type { PrometheusExporter } from '../export/prometheus/exporter.ts';
import { LogLimit, logLines } from '../log_lines.ts';
import { takeBodies } from './body.ts';
import { answerOddRequests, clientErrorHandler, type EndWith } from './client_error.ts';
import { packAnswers } from './compression.ts';
import { addressOf, type CallerOf } from './connections.ts';
import { stringify } from './json.ts';
import { type HttpLimits, httpLimits, limitCallers } from './limits.ts';
import type { View } from './ports.ts';
import { HttpProblem, problemOf, problemType } from './problem.ts';
import { addRoutes } from './routes.ts';

/** In place of the compilers that would be loaded otherwise, and take megabytes of memory. */
function noSchemas(): never {
	throw new Error('no route has a schema');
}

/** How often Node.js looks for requests that take too long. */
const checkMs = 2000;

export interface HttpOptions {
	readonly view: View;
	readonly metrics: PrometheusExporter;
	readonly logger: FastifyBaseLogger;
	/** Default: by address, all of this host and of the Unix socket alike. */
	readonly callerOf?: CallerOf;
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
		clientErrorHandler: (error, socket) => clientErrorHandler(end)(error, socket),
		frameworkErrors: (error, _request, reply) => {
			const problem = problemOf(error);
			(reply as FastifyReply).code(problem.status).type(problemType).send(stringify(problem));
		},
	});
	const repeated = new LogLimit(app.log);
	const end: EndWith = limitCallers(app, {
		limits,
		callerOf: options.callerOf ?? addressOf,
		onAnswered: (path, code) => options.metrics.http.answered(path, code),
		onLimited: (limit, caller) => {
			options.metrics.http.limited(limit);
			repeated.tell(limit, logLines.httpLimitExceeded, { limit, caller });
		},
	});
	answerOddRequests(app.server, end);
	app.setReplySerializer(stringify);
	takeBodies(app, limits.bodyBytes);
	app.setErrorHandler((error, request, reply) => {
		const problem = problemOf(error);
		if (problem.status === 500 || isSystemError(error)) {
			repeated.tell(codeOfError(error), logLines.requestFailed, { err: error, url: request.url });
		}
		// the rest of the body is not waited for
		if (problem.status === 413) reply.header('connection', 'close');
		return reply.code(problem.status).type(problemType).send(problem);
	});
	app.addHook('onRequest', async ({ raw }, reply) => {
		reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
		if (raw.headers.host === undefined && raw.httpVersion === '1.1') throw new HttpProblem(400, 'Host is missing');
	});

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
