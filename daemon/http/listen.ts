// SPDX-License-Identifier: Apache-2.0
/** Where the application listens: an address, or a Unix socket that only its owner and group can use. */
import { chmod, lstat, unlink } from 'node:fs/promises';
import { type AddressInfo, connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { makeDirectories, reasonOf, removeDirectories } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { type Endpoint, formatEndpoint } from '../model/address.ts';

const socketMode = 0o660;

/**
 * Listens on an address; port 0 lets the kernel choose.
 *
 * @returns where it listens
 * @throws {ToascopeError} ADDRESS_IN_USE, ADDRESS_NOT_AVAILABLE, NO_PRIVILEGE, CONFIG_INVALID
 */
export async function listenTcp(app: FastifyInstance, at: Endpoint): Promise<Endpoint> {
	try {
		await app.listen({ host: at.text, port: at.port, listenTextResolver: (address) => `listening on ${address}` });
	} catch (error) {
		throw tcpError(error, formatEndpoint(at), at.port);
	}
	const { address, port } = app.server.address() as AddressInfo;
	return { family: at.family, text: address, port };
}

function tcpError(error: unknown, address: string, port: number): unknown {
	switch ((error as NodeJS.ErrnoException).code) {
		case 'EADDRINUSE':
			return new ToascopeError('ADDRESS_IN_USE', `another process listens on ${address}`, {
				hint: `see which with: ss -ltnp 'sport = :${port}'; or set http.listen to another address`,
				cause: error,
			});
		case 'EADDRNOTAVAIL':
			return new ToascopeError('ADDRESS_NOT_AVAILABLE', `http.listen: ${address} is not an address of this host`, {
				hint: 'see which are with: ip address (one that is `tentative` comes within seconds)',
				cause: error,
			});
		case 'EACCES':
			return new ToascopeError('NO_PRIVILEGE', `may not listen on ${address}`, {
				hint: 'a port below 1024 needs CAP_NET_BIND_SERVICE; or set http.listen to another port',
				cause: error,
			});
		default:
			return new ToascopeError('CONFIG_INVALID', `http.listen: cannot listen on ${address}: ${reasonOf(error)}`, {
				hint: 'set http.listen to an address of this host, or to off',
				cause: error,
			});
	}
}

/**
 * Listens on a Unix socket with mode 0660 from the first moment. A socket file that nobody answers is taken over. The
 * directories that it takes are made, and go with the application.
 *
 * @throws {ToascopeError} ALREADY_RUNNING when a process answers there, ADDRESS_IN_USE when the file is no socket,
 * NO_PRIVILEGE, CONFIG_INVALID where there can be no socket
 */
export async function listenUnix(app: FastifyInstance, path: string): Promise<void> {
	const made: string[] = [];
	try {
		makeDirectories(dirname(path), 0o755, made);
		await clearStale(path);
		bindPrivately(app.server);
		await app.listen({ path, listenTextResolver: (address) => `listening on ${address}` });
		// where the directory has default ACLs, these gave the mode
		await chmod(path, socketMode);
	} catch (error) {
		removeDirectories(made);
		throw unixError(error, path);
	}
	app.server.once('close', () => removeDirectories(made));
}

/**
 * The next socket that the server binds is made with its mode. The umask is the whole process's, and the framework listens some
 * turns later; but to a path bind() is called before listen() returns.
 */
function bindPrivately(server: Server): void {
	const { listen } = server;
	server.listen = ((...args: Parameters<typeof listen>) => {
		server.listen = listen;
		const umask = process.umask(0o777 & ~socketMode);
		try {
			return listen.apply(server, args);
		} finally {
			process.umask(umask);
		}
	}) as typeof listen;
}

function unixError(error: unknown, path: string): unknown {
	if (error instanceof ToascopeError) return error;
	const { code } = error as NodeJS.ErrnoException;
	if (code === 'EADDRINUSE') return alreadyRunning(path);
	const denied = code === 'EACCES' || code === 'EPERM';
	return new ToascopeError(
		denied ? 'NO_PRIVILEGE' : 'CONFIG_INVALID',
		`http.socket: cannot listen on ${path}: ${reasonOf(error)}`,
		{ hint: 'set http.socket to a path in a directory that this user may write, or to off', cause: error },
	);
}

async function clearStale(path: string): Promise<void> {
	const file = await lstat(path).catch((error: NodeJS.ErrnoException) => {
		if (error.code === 'ENOENT') return undefined;
		throw error;
	});
	if (file === undefined) return;
	if (!file.isSocket()) {
		throw new ToascopeError('ADDRESS_IN_USE', `${path} exists and is not a socket`, {
			hint: 'remove it, or set http.socket to another path',
		});
	}
	if (await answers(path)) throw alreadyRunning(path);
	await unlink(path);
}

/** Whether a process listens there. */
function answers(path: string): Promise<boolean> {
	return new Promise((resolve, reject) => {
		const socket = connect(path);
		socket.once('connect', () => {
			socket.destroy();
			resolve(true);
		});
		socket.once('error', (error: NodeJS.ErrnoException) => {
			if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
			else if (error.code === 'EAGAIN')
				resolve(true); // somebody listens, and has no room in the queue
			else reject(error);
		});
	});
}

function alreadyRunning(path: string): ToascopeError {
	return new ToascopeError('ALREADY_RUNNING', `another toascope answers on ${path}`, {
		hint: 'stop it, or set http.socket to another path',
	});
}
