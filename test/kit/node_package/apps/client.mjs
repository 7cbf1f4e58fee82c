// SPDX-License-Identifier: Apache-2.0
/**
 * `node client.mjs REQUESTS`: makes requests of each kind, all at a time. REQUESTS, in JSON: a list
 * of `{kind, host, port, from?, path?, headers?, count?}`; `count` requests use one connection.
 * Prints the list of what each connection was: `{address, port, replies}`.
 */
import { once } from 'node:events';
import { Agent as HttpAgent, request as httpRequest } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { connect as connectTls } from 'node:tls';

async function textOf(stream) {
	let text = '';
	for await (const part of stream.setEncoding('utf8')) text += part;
	return text;
}

/** Opens a connection, with TLS where `protocols` (ALPN) are given. */
async function open({ host, port, from }, protocols) {
	const where = { host, port, localAddress: from, autoSelectFamily: false };
	const tcp = connectTcp(where);
	await once(tcp, 'connect');
	const { localAddress: address, localPort } = tcp;
	if (protocols === undefined) return { socket: tcp, address, port: localPort };
	const socket = connectTls({ socket: tcp, rejectUnauthorized: false, ALPNProtocols: protocols });
	await once(socket, 'secureConnect');
	return { socket, address, port: localPort };
}

async function raw(target, protocols) {
	const { socket, address, port } = await open(target, protocols);
	socket.write('x');
	return { address, port, replies: [await textOf(socket)] };
}

/** The server speaks first. */
async function greeted(target) {
	const { socket, address, port } = await open(target);
	await once(socket, 'readable');
	const greeting = String(socket.read());
	socket.write('x');
	return { address, port, replies: [greeting + (await textOf(socket))] };
}

async function http(target, Agent, request, protocols) {
	const { path = '/', headers = {}, count = 1 } = target;
	const { socket, address, port } = await open(target, protocols);
	const agent = new Agent({ keepAlive: true, maxSockets: 1 });
	agent.createConnection = () => socket;
	const replies = [];
	for (let made = 0; made < count; made++) {
		const sent = request({ agent, host: 'server', path, headers }).end();
		const [response] = await once(sent, 'response');
		replies.push(await textOf(response));
	}
	agent.destroy();
	return { address, port, replies };
}

async function http2(target, scheme, protocols) {
	const { path = '/', headers = {}, count = 1 } = target;
	const { socket, address, port } = await open(target, protocols);
	const session = connectHttp2(`${scheme}://server`, { createConnection: () => socket });
	const streams = Array.from({ length: count }, () => session.request({ ':path': path, ...headers }));
	const replies = await Promise.all(streams.map(textOf));
	session.close();
	return { address, port, replies };
}

const kinds = {
	net: (target) => raw(target),
	greeting: greeted,
	tls: (target) => raw(target, []),
	http: (target) => http(target, HttpAgent, httpRequest),
	https: (target) => http(target, HttpsAgent, httpsRequest, ['http/1.1']),
	h2c: (target) => http2(target, 'http'),
	h2: (target) => http2(target, 'https', ['h2']),
};

const targets = JSON.parse(process.argv[2]);
console.log(JSON.stringify(await Promise.all(targets.map((target) => kinds[target.kind](target)))));
