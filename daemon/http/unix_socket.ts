// SPDX-License-Identifier: Apache-2.0
/**
 * Lets the application listen on a Unix socket that only its owner and group can use. The file of
 * the socket is removed only if it is still our own.
 */
import { type BigIntStats, lstatSync, unlinkSync } from 'node:fs';
import { chmod, link, lstat, rename, unlink } from 'node:fs/promises';
import { connect, type Server } from 'node:net';
import { dirname } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { makeDirectories, reasonOf, removeDirectories } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';

const socketMode = 0o660;
/**
 * Maximum length of a socket's path in bytes: the size of sun_path in unix(7) without its
 * terminating zero.
 */
const pathMax = 107;

/** The state of the file at a socket's path. */
type FileState = 'ours' | 'removed' | 'replaced';

export interface SocketFile {
	/** Checks the file system: other processes can remove or replace the file while we listen. */
	state(): FileState;
}

/**
 * Listens on a Unix socket that has mode 0660 from its creation on. A stale socket file, on which
 * no process listens, is replaced. Missing directories are created, and are removed when the
 * application closes; so is the file, unless it has been replaced by then.
 *
 * @param made receives the directories that were created; a caller that listens at the same path
 * again passes the same array
 * @throws {ToascopeError} ALREADY_RUNNING if a process listens there, ADDRESS_IN_USE if the file is
 * not a socket, NO_PRIVILEGE, CONFIG_INVALID if a socket is not possible there
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
			// an error thrown in this listener would end the process before programs are detached
			try {
				if (state() === 'ours') unlinkSync(path);
				removeDirectories(made);
			} catch (err) {
				logLine(app.log, logLines.socketFileNotRemoved, { socket: path, err });
			}
		});
		return { state };
	} catch (error) {
		removeDirectories(made);
		throw unixError(error, path);
	}
}

/**
 * Compares the birth time as well, because a freed inode number is reused for the next file, which
 * is created later. The ctime of stat(2) does not help: it also changes with the group or the mode
 * of our file.
 */
export function isSameFile(a: FileIdentity, b: FileIdentity): boolean {
	return a.ino === b.ino && a.dev === b.dev && a.birthtimeNs === b.birthtimeNs;
}

type FileIdentity = Pick<BigIntStats, 'ino' | 'dev' | 'birthtimeNs'>;

/**
 * Binds to a temporary name beside the path, and returns that name. Not to the path itself, because
 * Node.js removes the file at the bound name when it closes, even if it is another process's by
 * then.
 */
async function bind(app: FastifyInstance, path: string): Promise<string> {
	const preferred = `${path}.${process.pid}`;
	const name = Buffer.byteLength(preferred) > pathMax ? `${dirname(path)}/.${process.pid.toString(36)}` : preferred;
	// left by an earlier process with this pid that was killed between bind() and publish()
	await unlink(name).catch(unlessMissing);
	bindPrivately(app.server);
	await app.listen({ path: name, listenTextResolver: () => `listening on ${path}` });
	// default ACLs of the directory take precedence over the umask
	await chmod(name, socketMode);
	return name;
}

/**
 * Moves the socket to its path, unless a file has appeared there meanwhile: link(2) does not
 * replace a file. Where hard links are not supported, rename(2) is used, which does.
 */
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
 * Makes the next socket that the server binds have its mode from its creation on. The umask applies
 * to the whole process and Fastify calls listen() some iterations of the event loop later, so the
 * umask is changed only around that call: for a path, bind() is called before listen() returns.
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
		{ hint: 'set http.socket to a path in a directory that this user can write to, or to off', cause: error },
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
	if (await isListening(path)) throw alreadyRunning(path);
	await unlink(path);
}

/** Whether a process listens on the socket at this path. */
function isListening(path: string): Promise<boolean> {
	return new Promise((resolve, reject) => {
		const socket = connect(path);
		socket.once('connect', () => {
			socket.destroy();
			resolve(true);
		});
		socket.once('error', (error: NodeJS.ErrnoException) => {
			if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false);
			else if (error.code === 'EAGAIN')
				resolve(true); // a process listens, and its accept queue is full
			else reject(error);
		});
	});
}

function alreadyRunning(path: string): ToascopeError {
	return new ToascopeError('ALREADY_RUNNING', `another toascope is listening on ${path}`, {
		hint: 'stop it, or set http.socket to another path',
	});
}
