// SPDX-License-Identifier: Apache-2.0
/**
 * The HTTP application. The TCP and the Unix socket each get one of their own, alike. There is no
 * authentication: TCP is for loopback by default, the Unix socket has the file's permissions.
 */
import { constants } from 'node:zlib';
import compress from '@fastify/compress';
import Fastify, { type FastifyBaseLogger, type FastifyInstance, type FastifyReply, LogController } from 'fastify';
import type { PrometheusExporter } from '../export/prometheus/exporter.ts';
import { answerClientError } from './client_error.ts';
import { stringify } from './json.ts';
import type { View } from './ports.ts';
import { HttpProblem, problemOf, problemType } from './problem.ts';
import { addRoutes } from './routes.ts';

/** What one caller can take: bytes, milliseconds, connections. */
export const httpLimits = {
	headerBytes: 16 * 1024,
	bodyBytes: 256 * 1024,
	/** To send the whole request. */
	requestMs: 10_000,
	/** Without a byte moving while a request is answered. */
	stalledMs: 30_000,
	/** Longer than the usual scrape intervals. */
	keepAliveMs: 75_000,
	connections: 256,
} as const;

export interface HttpOptions {
	readonly view: View;
	readonly metrics: PrometheusExporter;
	readonly logger: FastifyBaseLogger;
	/** Open connections at a time; further ones are closed at once (default `httpLimits.connections`). */
	readonly maxConnections?: number;
}

/** An application with all routes; hand it to listenTcp() or listenUnix(). close() ends its connections too. */
export function createHttp(options: HttpOptions): FastifyInstance {
	const app = Fastify({
		loggerInstance: options.logger,
		logController: new LogController({ disableRequestLogging: true }),
		http: {
			maxHeaderSize: httpLimits.headerBytes,
			headersTimeout: httpLimits.requestMs,
			connectionsCheckingInterval: 2000,
		},
		requestTimeout: httpLimits.requestMs,
		connectionTimeout: httpLimits.stalledMs,
		keepAliveTimeout: httpLimits.keepAliveMs,
		bodyLimit: httpLimits.bodyBytes,
		forceCloseConnections: true,
		clientErrorHandler: answerClientError,
		frameworkErrors: (error, _request, reply) => {
			const problem = problemOf(error);
			(reply as FastifyReply).code(problem.status).type(problemType).send(stringify(problem));
		},
	});
	app.server.maxConnections = options.maxConnections ?? httpLimits.connections;
	app.setReplySerializer(stringify);
	app.removeContentTypeParser('text/plain');
	app.setErrorHandler((error, request, reply) => {
		const problem = problemOf(error);
		if (problem.status === 500) request.log.error({ err: error, url: request.url }, 'a request failed');
		return reply.code(problem.status).type(problemType).send(problem);
	});
	app.addHook('onRequest', async (_request, reply) => {
		reply.header('cache-control', 'no-store').header('x-content-type-options', 'nosniff');
	});

	const methods = new Map<string, Set<string>>();
	app.addHook('onRoute', ({ url, method }) => {
		const known = methods.get(url) ?? new Set();
		methods.set(url, known);
		for (const one of [method].flat()) known.add(one);
	});
	app.setNotFoundHandler((request, reply) => {
		const known = methods.get(request.url.split('?', 1)[0] ?? '');
		if (known === undefined) throw new HttpProblem(404, 'there is nothing at this path');
		reply.header('allow', [...known].join(', '));
		throw new HttpProblem(405, `${request.method} is not possible here`);
	});

	app.register(compress, {
		encodings: ['gzip', 'identity'],
		// the text repeats itself so much that more effort gains little
		zlibOptions: { level: constants.Z_BEST_SPEED },
		customTypes: /^(?:text\/plain|application\/(?:openmetrics-text|json|problem\+json))(?:;|$)/,
		globalDecompression: false,
	});
	app.register(async (scope) => addRoutes(scope, options.view, options.metrics));
	return app;
}
