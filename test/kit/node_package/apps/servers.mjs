// SPDX-License-Identifier: Apache-2.0
/**
 * `node servers.mjs CONFIG`: servers of each kind, on any supported Node. Every answer is a line of
 * JSON: the client, and the code of diagnose().
 *
 * CONFIG, in JSON: `module`, the URL of @toascope/node; `host`; `ports`, by kind (0: a free one);
 * `key` and `cert`. Prints the ports as JSON when all listen, and a line when a connection of the
 * kind `greeting` has closed.
 */
import cluster from 'node:cluster';
import { once } from 'node:events';
import { createServer as createHttp } from 'node:http';
import { createServer as createHttp2, createSecureServer as createHttp2Tls } from 'node:http2';
import { createServer as createHttps } from 'node:https';
import { createServer as createTcp } from 'node:net';
import { createServer as createTls } from 'node:tls';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const config = isMainThread ? JSON.parse(process.argv[2]) : workerData;
const { clientOf, diagnose } = await import(config.module);

const answer = (source) => `${JSON.stringify({ client: clientOf(source) ?? null, code: diagnose(source).code })}\n`;
const onData = (socket) => {
	socket.on('error', () => {});
	socket.once('data', () => socket.end(answer(socket)));
};
/** Asks before the client has sent anything, then after that, and once more after the end. */
const onGreeted = (socket) => {
	const early = clientOf(socket) ?? null;
	socket.on('error', () => {});
	socket.on('close', () => console.log(JSON.stringify({ early, late: clientOf(socket) ?? null })));
	socket.once('data', () => socket.end(answer(socket)));
	socket.write('hello\n');
};
const onRequest = (request, response) => response.end(answer(request));
const onStream = (stream) => {
	stream.respond({ ':status': 200 });
	stream.end(answer(stream));
};

const { key, cert } = config;
const servers = {
	net: () => createTcp(onData),
	greeting: () => createTcp(onGreeted),
	tls: () => createTls({ key, cert }, onData),
	http: () => createHttp(onRequest),
	https: () => createHttps({ key, cert }, onRequest),
	h2c: () => createHttp2(onRequest),
	h2: () => createHttp2Tls({ key, cert }, onRequest),
	h2stream: () => createHttp2().on('stream', onStream),
};

async function listen(kind, port) {
	const server = servers[kind]().listen(port, config.host);
	await once(server, 'listening');
	return server.address().port;
}

const elsewhere = {
	async thread(port) {
		const worker = new Worker(new URL(import.meta.url), { workerData: { ...config, port } });
		return (await once(worker, 'message'))[0];
	},
	async cluster(port) {
		cluster.setupPrimary({ args: [JSON.stringify({ ...config, port })] });
		return (await once(cluster.fork(), 'message'))[0];
	},
};

if (!isMainThread) parentPort.postMessage(await listen('http', config.port));
else if (cluster.isWorker) process.send(await listen('http', config.port));
else {
	const ports = {};
	for (const [kind, port] of Object.entries(config.ports)) {
		ports[kind] = await (elsewhere[kind]?.(port) ?? listen(kind, port));
	}
	console.log(JSON.stringify(ports));
}
