// SPDX-License-Identifier: Apache-2.0
/**
 * A plain server: `node node_http.ts HOST PORT LOG`. It logs the peer's address and port, and its
 * own pid.
 */
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [host = '', port = '', log = ''] = process.argv.slice(2);

createServer(({ socket }, response) => {
	appendFileSync(log, `${socket.remoteAddress} ${socket.remotePort} ${process.pid}\n`);
	response.end('ok\n');
}).listen(Number(port), host);
