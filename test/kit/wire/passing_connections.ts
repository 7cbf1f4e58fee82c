// SPDX-License-Identifier: Apache-2.0
/**
 * A program: `passing_connections.ts PORT COUNT` opens and closes COUNT connections on 127.0.0.1,
 * one after the other. When it ends, the kernel has finished with all of them.
 */
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const [port, count] = process.argv.slice(2).map(Number);
const server = createServer((socket) => socket.resume()).listen(port, '127.0.0.1');
await once(server, 'listening');
for (let made = 0; made < (count ?? 0); made++) {
	const accepted = once(server, 'connection');
	const socket = connect(port ?? 0, '127.0.0.1').end('x');
	const [[served]] = await Promise.all([accepted, once(socket, 'close')]);
	if (!served.closed) await once(served, 'close');
}
server.close();
