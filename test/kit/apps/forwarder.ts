// SPDX-License-Identifier: Apache-2.0
/**
 * Forwards connections to a Unix socket, so that a receiver in this network namespace is reachable in
 * another one: `node forwarder.ts HOST PORT SOCKET`.
 */
import { connect, createServer } from 'node:net';

const [host = '', port = '', path = ''] = process.argv.slice(2);

createServer((near) => {
	const far = connect(path);
	near.pipe(far).pipe(near);
	for (const socket of [near, far]) socket.on('error', () => {});
}).listen(Number(port), host, () => console.log('{"ready":true}'));
