// SPDX-License-Identifier: Apache-2.0
/**
 * A plain server: `node node_net.ts HOST PORT LOG`. It logs the peer's address and port, and its
 * own pid.
 */
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:net';

const [host = '', port = '', log = ''] = process.argv.slice(2);

createServer((socket) => {
	appendFileSync(log, `${socket.remoteAddress} ${socket.remotePort} ${process.pid}\n`);
	socket.once('data', () => socket.write('ok\n'));
}).listen(Number(port), host);
