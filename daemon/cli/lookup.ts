// SPDX-License-Identifier: Apache-2.0
/** `toascope lookup ADDR:PORT`: asks the running daemon who is behind a peer. */
import { request } from 'node:http';
import type { Environment } from '../config/config.ts';
import { loadConfig } from '../config/load.ts';
import { exitCode, ToascopeError } from '../errors.ts';
import type { ConnectionJson, EndpointJson } from '../http/json.ts';
import { formatEndpoint } from '../model/address.ts';
import { parseEndpoint } from '../model/endpoint.ts';
import { formatBytes, printable } from './units.ts';

export interface LookupOptions {
	/** The daemon's Unix socket, or the URL of its HTTP server. */
	readonly daemon: { readonly socket: string } | { readonly url: string };
	/** Print the answer as the daemon gave it. */
	readonly json?: boolean;
	readonly out?: { write(text: string): unknown };
}

const timeoutMs = 5000;

/**
 * The daemon that the options name, else the one that the configuration describes.
 * @throws {ToascopeError} CONFIG_UNREADABLE, CONFIG_INVALID; NOT_RUNNING where it is to listen nowhere
 */
export function findDaemon(
	options: { readonly socket?: string; readonly url?: string; readonly config?: string },
	env: Environment,
): LookupOptions['daemon'] {
	if (options.url !== undefined) return { url: options.url };
	if (options.socket !== undefined) return { socket: options.socket };
	const { http } = loadConfig({ path: options.config, env });
	if (http.socket !== undefined) return { socket: http.socket };
	if (http.listen !== undefined) return { url: `http://${formatEndpoint(http.listen)}` };
	throw new ToascopeError('NOT_RUNNING', 'http.socket and http.listen are off: the daemon cannot be asked');
}

/**
 * Prints a line for each connection that the peer has or lately had.
 *
 * @returns the exit code: 0 when there is one; with `json` 1 when there is none
 * @throws {ToascopeError} BAD_ADDRESS, NOT_FOUND, NOT_RUNNING, NO_PRIVILEGE
 */
export async function lookup(target: string, options: LookupOptions): Promise<number> {
	const { json = false, out = process.stdout } = options;
	const peer = formatEndpoint(parseEndpoint(target));
	const text = await ask(`/v1/connections?peer=${encodeURIComponent(peer)}`, options.daemon);
	const connections = readConnections(text);
	if (json) {
		out.write(`${text}\n`);
		return connections.length > 0 ? exitCode.done : exitCode.failed;
	}
	if (connections.length === 0) {
		throw new ToascopeError('NOT_FOUND', `no connection with the peer ${peer} is known`, {
			hint: 'the peer is the address and port of the balancer or NAT64; a closed connection is kept for connections.retain',
		});
	}
	out.write(connectionTable(connections));
	return exitCode.done;
}

/** One line for each connection, in columns. */
export function connectionTable(connections: readonly ConnectionJson[]): string {
	const rows = connections.map((connection) => {
		const { client, profile, segment, process: owner } = connection;
		const real = client === null ? `(${connection.verdict})` : endpointText(client);
		const note = client === null || connection.verdict === 'toa' ? '' : ` (${connection.verdict})`;
		return [
			`${endpointText(connection.peer)} -> ${real}${note}`,
			profile === null ? '-' : `${profile}/${segment}`,
			owner === null ? '-' : `${printable(owner.comm)}[${owner.pid}]`,
			connection.state,
			`${formatBytes(BigInt(connection.received_bytes))} in ${formatBytes(BigInt(connection.sent_bytes))} out`,
		];
	});
	const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
	return rows.map((row) => `${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}\n`).join('');
}

function endpointText({ address, port }: EndpointJson): string {
	return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

function readConnections(text: string): readonly ConnectionJson[] {
	try {
		const { connections } = JSON.parse(text) as { connections?: unknown };
		if (Array.isArray(connections)) return connections as ConnectionJson[];
	} catch (error) {
		throw new ToascopeError('NOT_RUNNING', 'what answers there is not toascope', { cause: error });
	}
	throw new ToascopeError('NOT_RUNNING', 'what answers there is not toascope');
}

function ask(path: string, daemon: LookupOptions['daemon']): Promise<string> {
	if ('url' in daemon && URL.parse(daemon.url)?.protocol !== 'http:') {
		throw new ToascopeError('USAGE', `${daemon.url} is no http URL`, { hint: 'such as http://127.0.0.1:10646' });
	}
	const where = 'socket' in daemon ? daemon.socket : daemon.url;
	return new Promise((resolve, reject) => {
		const fail = (error: unknown): void => reject(askError(error, where));
		const options = { signal: AbortSignal.timeout(timeoutMs), agent: false };
		const sent =
			'socket' in daemon
				? request({ ...options, socketPath: daemon.socket, path })
				: request(new URL(path, daemon.url), options);
		sent.once('error', fail);
		sent.once('response', (response) => {
			let text = '';
			response.setEncoding('utf8');
			response.on('data', (piece: string) => {
				text += piece;
			});
			response.once('error', fail);
			response.once('end', () => {
				if (response.statusCode === 200) resolve(text);
				else fail(new Error(`it answered with status ${response.statusCode}`));
			});
		});
		sent.end();
	});
}

function askError(error: unknown, where: string): ToascopeError {
	const { code, message } = error as NodeJS.ErrnoException;
	if (code === 'EACCES' || code === 'EPERM') {
		return new ToascopeError('NO_PRIVILEGE', `may not use ${where}`, {
			hint: 'use sudo, or be of the group of the socket',
			cause: error,
		});
	}
	const nobody = code === 'ENOENT' || code === 'ECONNREFUSED';
	return new ToascopeError('NOT_RUNNING', `no daemon answers at ${where}${nobody ? '' : `: ${message}`}`, {
		hint: 'start it with: toascope run; one that listens elsewhere is named with --socket or --url',
		cause: error,
	});
}
