// SPDX-License-Identifier: Apache-2.0
/**
 * The HTTP application. The TCP listener and the Unix socket each serve an application of their own
 * with the same routes. There is no authentication: TCP listens on loopback by default, and file
 * permissions protect the Unix socket.
 */
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, LogController } from 'fastify';
import { codeOfError, isSystemError } from '../errors.ts';
import type { PrometheusExporter } from '../export/prometheus/exporter.ts';
import { LogLimit } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { acceptJsonBodies } from './body.ts';
import { clientErrorHandler, type EndWithProblem, handleConnectAndExpect } from './client_error.ts';
import { compressResponses } from './compression.ts';
import { addressOf, type CallerOf } from './connections.ts';
import { enforceLimits, type HttpLimits, httpLimits } from './limits.ts';
import { HttpProblem, problemOf, problemType } from './problem.ts';
import { addRoutes } from './routes.ts';
import type { View } from './view.ts';

/** Replaces Fastify's schema compilers, which it would load and which need megabytes of memory. */
function noSchemas(): never {
	throw new Error('no route has a schema');
}

/** Milliseconds between two checks of Node.js for requests that exceed their time limit. */
const checkMs = 2000;

export interface HttpOptions {
	readonly view: View;
	readonly metrics: PrometheusExporter;
	readonly logger: FastifyBaseLogger;
	/**
	 * Default: by remote address. Processes of this host are not distinguished, neither over
	 * loopback nor over the Unix socket.
	 */
	readonly callerOf?: CallerOf;
	/** Default: `httpLimits`. */
	readonly limits?: Partial<HttpLimits>;
}

/**
 * Creates an application with all routes, for listenTcp() or listenUnix(). Its close() also closes
 * its connections.
 */
export function createHttp(options: HttpOptions): FastifyInstance {
	const limits = { ...httpLimits, ...options.limits };
	const app = Fastify({
		loggerInstance: options.logger,
		schemaController: { compilersFactory: { buildValidator: noSchemas, buildSerializer: noSchemas } },
		logController: new LogController({ disableRequestLogging: true }),
		http: {
			maxHeaderSize: limits.headerBytes,
			headersTimeout: limits.requestMs,
			// the hook below requires it: Node.js would respond without a problem document
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
			(reply as FastifyReply).code(problem.status).type(problemType).send(JSON.stringify(problem));
		},
	});
	const repeated = new LogLimit(app.log);
	const end: EndWithProblem = enforceLimits(app, {
		limits,
		callerOf: options.callerOf ?? addressOf,
		onResponse: (path, code) => options.metrics.http.countResponse(path, code),
		onLimited: (limit, caller) => {
			options.metrics.http.countLimited(limit);
			repeated.log(limit, logLines.httpLimitExceeded, { limit, caller });
		},
	});
	handleConnectAndExpect(app.server, end);
	app.setReplySerializer((payload) => JSON.stringify(payload));
	acceptJsonBodies(app, limits.bodyBytes);
	app.setErrorHandler((error, request, reply) => {
		const problem = problemOf(error);
		if (problem.status === 500 || isSystemError(error)) {
			repeated.log(codeOfError(error), logLines.requestFailed, { err: error, url: request.url });
		}
		// do not wait for the rest of the body
		if (problem.status === 413) reply.header('connection', 'close');
		return reply.code(problem.status).type(problemType).send(problem);
	});
	app.addHook('onRequest', async ({ raw }, reply) => {
		reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
		if (raw.headers.host === undefined && raw.httpVersion === '1.1') throw new HttpProblem(400, 'no Host header');
	});

	const methods = new Map<string, Set<string>>();
	app.addHook('onRoute', ({ url, method }) => {
		const known = methods.get(url) ?? new Set();
		methods.set(url, known);
		for (const name of [method].flat()) known.add(name);
	});
	app.setNotFoundHandler((request, reply) => {
		const known = methods.get(request.url.split('?', 1)[0] ?? '');
		if (known === undefined)
			throw new HttpProblem(404, `no such path; the paths are ${[...methods.keys()].join(', ')}`);
		const allowed = [...known].join(', ');
		reply.header('allow', allowed);
		throw new HttpProblem(405, `method ${request.method} is not allowed here; allowed: ${allowed}`);
	});

	compressResponses(app);
	app.register(async (scope) => addRoutes(scope, options.view, options.metrics));
	return app;
}
