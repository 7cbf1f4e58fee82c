// SPDX-License-Identifier: Apache-2.0
/**
 * An instrumented application without a framework: node:http on PORT, node:https on PORT + 1, and
 * node:http2, whose SERVER spans it makes itself, on PORT + 2. Each request makes a span of kind
 * INTERNAL as well. With CLIENT_ATTRIBUTES=1, it names the client on its own SERVER spans. Prints a
 * line when all three listen.
 */
const { once } = require('node:events');
const { readFileSync } = require('node:fs');
const http = require('node:http');
const http2 = require('node:http2');
const https = require('node:https');
const { setTimeout: pause } = require('node:timers/promises');
const { SpanKind, trace } = require('@opentelemetry/api');
const { clientAttributes } = require('@toascope/node');

const { KEY, CERT, PORT, CLIENT_ATTRIBUTES } = process.env;
const tracer = trace.getTracer('web');
const certificate = { key: readFileSync(KEY), cert: readFileSync(CERT) };

/** Starts its span after the request has been handled for a while, so that requests interleave. */
async function answer(request, response) {
	await pause(5);
	tracer.startSpan('inner', { attributes: { 'url.path': `${request.url}/inner` } }).end();
	response.end('{}');
}

async function answerHttp2(request, response) {
	await pause(5);
	const { remoteAddress, remotePort } = request.socket;
	const attributes = {
		'url.path': request.url,
		'network.peer.address': remoteAddress,
		'network.peer.port': remotePort,
		...(CLIENT_ATTRIBUTES === '1' ? clientAttributes(request) : {}),
	};
	tracer.startSpan(request.method, { kind: SpanKind.SERVER, attributes }).end();
	response.end('{}');
}

async function main() {
	const servers = [
		http.createServer(answer),
		https.createServer(certificate, answer),
		http2.createSecureServer(certificate, answerHttp2),
	];
	for (const [index, server] of servers.entries()) {
		await once(server.listen(Number(PORT) + index, '0.0.0.0'), 'listening');
	}
	console.log('listening');
}

main();
