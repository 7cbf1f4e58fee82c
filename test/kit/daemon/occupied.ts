// SPDX-License-Identifier: Apache-2.0
/** Servers that already occupy a Unix socket or a port. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';

/** Listens on a Unix socket, as a running daemon does. */
export async function listenOn(socket: string): Promise<AsyncDisposable> {
	const server = createServer().listen(socket);
	await once(server, 'listening');
	return server;
}

/** Listens on a free port of 127.0.0.1; close the server to free the port. */
export async function takenPort(): Promise<{ readonly server: Server & AsyncDisposable; readonly port: number }> {
	const server = createServer().listen(0, '127.0.0.1');
	await once(server, 'listening');
	return { server, port: (server.address() as AddressInfo).port };
}
