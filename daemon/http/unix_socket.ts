// SPDX-License-Identifier: Apache-2.0
/** The application on a Unix socket that only its owner and group can use; the file is removed only while it is ours. */
import { type BigIntStats, lstatSync, unlinkSync } from 'node:fs';
import { chmod, link, lstat, rename, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { makeDirectories, reasonOf, removeDirectories } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { logLines, tell } from '../log_lines.ts';

const socketMode = 0o660;
/** Bytes of a path that the kernel takes for a socket: sun_path of unix(7) less its final zero. */
const pathMax = 107;

/** What is at a socket's path. */
export type FileState = 'ours' | 'removed' | 'replaced';

export interface SocketFile {
	/** Asks the file system: others can remove the file, or put theirs in its place, while we listen. */
	state(): FileState;
}

/**
 * Listens on a Unix socket with mode 0660 from the first moment. A socket file that nobody answers is replaced. The directories
 * that it takes are made, and go with the application; so does the file, unless another is there by then.
 *
 * @param made is given the directories that were made; a caller that listens again at the same path passes it again
 * @throws {ToascopeError} ALREADY_RUNNING when a process answers there, ADDRESS_IN_USE when the file is no socket,
 * NO_PRIVILEGE, CONFIG_INVALID where there can be no socket
 */
export async function listenUnix(app: FastifyInstance, path: string, made: string[] = []): Promise<SocketFile> {
	try {
		if (Buffer.byteLength(path) > pathMax) throw Object.assign(new Error(), { code: 'ENAMETOOLONG' });
		makeDirectories(dirname(path), 0o755, made);
		await clearStale(path);
		const bound = await bind(app, path);
		await publish(bound, path);
		const ours = await lstat(path, { bigint: true });
		const state = (): FileState => {
			const found = lstatSync(path, { bigint: true, throwIfNoEntry: false });
			if (found === undefined) return 'removed';
			return isSameFile(found, ours) ? 'ours' : 'replaced';
		};
		app.server.once('close', () => {
			// nobody could catch it here: it would end the process before the programs are detached
			try {
				if (state() === 'ours') unlinkSync(path);
				removeDirectories(made);
			} catch (err) {
				tell(app.log, logLines.socketFileKept, { socket: path, err });
			}
		});
		return { state };
	} catch (error) {
		removeDirectories(made);
		throw unixError(error, path);
	}
}

/**
 * A number that became free is given to the next file, which was made later. Not the time of change (ctime of stat(2)): that is another
 * one when somebody gives our file another group or mode.
 */
export function isSameFile(one: FileIdentity, other: FileIdentity): boolean {
	return one.ino === other.ino && one.dev === other.dev && one.birthtimeNs === other.birthtimeNs;
}

type FileIdentity = Pick<BigIntStats, 'ino' | 'dev' | 'birthtimeNs'>;

/**
 * Binds at a name of its own beside the path: Node.js removes whatever is at the name that it has bound when it closes, be it
 * another process's by then. Returns the name.
 */
async function bind(app: FastifyInstance, path: string): Promise<string> {
	const beside = `${path}.${process.pid}`;
	const name = Buffer.byteLength(beside) > pathMax ? `${dirname(path)}/.${process.pid.toString(36)}` : beside;
	// left by a process of that number which was killed between the two steps
	await unlink(name).catch(unlessMissing);
	bindPrivately(app.server);
	await app.listen({ path: name, listenTextResolver: () => `listening on ${path}` });
	// where the directory has default ACLs, these gave the mode
	await chmod(name, socketMode);
	return name;
}

/** Gives the socket its path, if nothing has come there meanwhile: link(2) replaces no file, where there are links. */
async function publish(name: string, path: string): Promise<void> {
	try {
		await link(name, path);
	} catch (error) {
		const { code = '' } = error as NodeJS.ErrnoException;
		if (code === 'EEXIST') throw alreadyRunning(path);
		if (!['EPERM', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK'].includes(code)) throw error;
		await rename(name, path);
		return;
	}
	await unlink(name);
}

function unlessMissing(error: NodeJS.ErrnoException): void {
	if (error.code !== 'ENOENT') throw error;
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
