// SPDX-License-Identifier: Apache-2.0
/** `toascope lookup ADDR:PORT`: asks the running daemon who is behind a peer. */

import type { ClientEndpointJson, ConnectionJson, VirtualServerJson } from '../api/connection.ts';
import {
	type DaemonAddress,
	daemonAddressesOf,
	errorKindOf,
	formatDaemonAddress,
	getFromDaemon,
} from '../client/daemon_client.ts';
import type { Config, Environment } from '../config/config.ts';
import { defaultConfig, loadConfig } from '../config/load.ts';
import { exitCode, ToascopeError } from '../errors.ts';
import { formatEndpoint } from '../model/address.ts';
import { parseEndpoint } from '../model/endpoint.ts';
import { printable } from '../terminal.ts';
import { pastRecords } from './past_records.ts';
import { formatBytes } from './units.ts';
import { formatInstant, formatLength, parseWhen, type Span } from './when.ts';

export interface LookupOptions {
	/** The daemon's Unix socket, or the URL of its HTTP server. */
	readonly daemon: DaemonAddress;
	/** Only connections to this `ADDR:PORT` of the server. */
	readonly local?: string | undefined;
	/** Only connections that were open at this time: see `parseWhen`. */
	readonly at?: string | undefined;
	/** Print JSON, as the daemon returns it. */
	readonly json?: boolean;
	readonly out?: { write(text: string): unknown };
}

/**
 * The daemon that the options name, otherwise the one that the configuration describes.
 * @throws {ToascopeError} CONFIG_UNREADABLE, CONFIG_INVALID; NOT_RUNNING where the configuration
 * has it listen nowhere; USAGE
 */
export function daemonAddress(
	options: { readonly socket?: string; readonly url?: string; readonly config?: string },
	env: Environment,
): DaemonAddress {
	if (options.url !== undefined) return parseUrl(options.url);
	if (options.socket !== undefined) return { socket: options.socket };
	const [address] = daemonAddressesOf(configured(options.config, env));
	if (address !== undefined) return address;
	throw new ToascopeError('NOT_RUNNING', 'http.socket and http.listen are off: the daemon cannot be reached', {
		hint: 'switch one of them on, and restart the daemon',
	});
}

function parseUrl(url: string): DaemonAddress {
	const protocol = URL.parse(url)?.protocol;
	if (protocol === 'http:') return { url };
	if (protocol === 'https:') {
		throw new ToascopeError('USAGE', `${url}: toascope does not support TLS`, {
			hint: 'use the address of the daemon, such as http://127.0.0.1:10646; through a TLS proxy: curl URL/v1/connections?peer=ADDR:PORT',
		});
	}
	const meant = url.includes('://') ? null : URL.parse(`http://${url}`);
	throw new ToascopeError('USAGE', `${url} is not an http URL`, {
		hint: meant === null ? 'write a URL such as http://127.0.0.1:10646' : `write http://${url}`,
	});
}

/**
 * A running daemon can have read the file before it became wrong: the error says how to ask that
 * daemon nevertheless.
 */
function configured(path: string | undefined, env: Environment): Config {
	try {
		return loadConfig({ path, env });
	} catch (error) {
		if (!(error instanceof ToascopeError)) throw error;
		const { code, message, cause } = error;
		throw new ToascopeError(code, message, {
			hint: `a running daemon can still be asked with: --socket ${defaultConfig().http.socket}`,
			cause,
		});
	}
}

/**
 * Prints a line for each connection that the peer has or recently had. For a time before that,
 * prints the query that finds its records where they are kept.
 *
 * @returns the exit code: 0 when there is one; with `json` 1 when there is none
 * @throws {ToascopeError} BAD_ADDRESS, USAGE, NOT_FOUND, NOT_RUNNING, NO_PRIVILEGE
 */
export async function lookup(target: string, options: LookupOptions): Promise<number> {
	const { json = false, out = process.stdout } = options;
	const endpoint = parseEndpoint(target);
	const peer = formatEndpoint(endpoint);
	const local = options.local === undefined ? undefined : readLocal(options.local);
	const span = options.at === undefined ? undefined : parseWhen(options.at);
	const known = await read(`/v1/connections?${new URLSearchParams({ peer })}`, options.daemon);
	const atLocal = known.filter((connection) => local === undefined || endpointText(connection.local) === local);
	const connections = atLocal.filter((connection) => span === undefined || wasOpen(connection, span));
	if (json) {
		out.write(`${JSON.stringify({ connections })}\n`);
		return connections.length > 0 ? exitCode.done : exitCode.failed;
	}
	if (connections.length === 0) {
		const past = span === undefined ? undefined : await pastRecords(options.daemon, endpoint, span);
		const error = notFound(peer, local, known, atLocal);
		if (past === undefined) throw error;
		if (past.query !== undefined) out.write(past.query);
		const hint = atLocal.length === 0 ? past.hint : `${error.hint}; ${past.hint}`;
		throw new ToascopeError(error.code, error.message, { hint });
	}
	out.write(connectionTable(connections));
	return exitCode.done;
}

function wasOpen({ opened_at: opened, closed_at: closed }: ConnectionJson, { fromMs, toMs }: Span): boolean {
	return Date.parse(opened) <= toMs && (closed === null || Date.parse(closed) >= fromMs);
}

function readLocal(text: string): string {
	try {
		return formatEndpoint(parseEndpoint(text));
	} catch (error) {
		if (!(error instanceof ToascopeError)) throw error;
		const { code, message, hint = '' } = error;
		throw new ToascopeError(code, `--local: ${message}`, { hint, cause: error });
	}
}

/**
 * `known`: all connections of this peer; `atLocal`: those to `local`, none of which was open at the
 * time in question.
 */
function notFound(
	peer: string,
	local: string | undefined,
	known: readonly ConnectionJson[],
	atLocal: readonly ConnectionJson[],
): ToascopeError {
	if (known.length > 0 && atLocal.length === 0) {
		const locals = [...new Set(known.map((connection) => endpointText(connection.local)))];
		return new ToascopeError('NOT_FOUND', `no connection of the peer ${peer} to ${local} is known`, {
			hint: `its known connections are to ${locals.slice(0, 3).join(', ')}`,
		});
	}
	const [latest] = atLocal;
	if (latest !== undefined) {
		return new ToascopeError('NOT_FOUND', `no connection with the peer ${peer} was open at that time`, {
			hint: `the latest known one was opened at ${formatInstant(latest.opened_at)}`,
		});
	}
	return new ToascopeError('NOT_FOUND', `no connection with the peer ${peer} is known`, {
		hint: 'the peer is the address and port of the balancer or NAT64; a closed connection is kept for connections.retain',
	});
}

/**
 * One line for each connection, in columns, and below it the virtual server that the client
 * connected to. `now`: Unix milliseconds.
 */
export function connectionTable(connections: readonly ConnectionJson[], now: number = Date.now()): string {
	const rows = connections.map((connection) => {
		const { client, profile, segment, process: owner } = connection;
		const real = client === null ? `(${connection.verdict})` : endpointText(client);
		const note = client === null || connection.verdict === 'toa' ? '' : ` (${connection.verdict})`;
		const lengthMs =
			(connection.closed_at === null ? now : Date.parse(connection.closed_at)) - Date.parse(connection.opened_at);
		return [
			`${endpointText(connection.peer)} -> ${real}${note}`,
			`on ${endpointText(connection.local)}`,
			profile === null ? '-' : `${profile}/${segment}`,
			owner === null ? '-' : `${printable(owner.comm)}[${owner.pid}]`,
			`opened ${formatInstant(connection.opened_at)}, ${connection.state === 'open' ? 'open for' : 'closed after'} ${formatLength(Math.max(0, lengthMs))}${endText(connection)}`,
			`${formatBytes(BigInt(connection.received_bytes))} in ${formatBytes(BigInt(connection.sent_bytes))} out`,
		];
	});
	const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
	const lines = rows.map((row) => `${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}\n`);
	return lines.map((line, index) => `${line}${virtualServerLine(connections[index]?.virtual_server)}`).join('');
}

/** Why it ended, unless in an orderly way; a daemon of an earlier version does not report it. */
function endText({ error }: Partial<ConnectionJson>): string {
	return error === null || error === undefined ? '' : ` (${error})`;
}

/** `server` is undefined where a daemon of an earlier version does not report it. */
function virtualServerLine(server: VirtualServerJson | null | undefined): string {
	if (server === null || server === undefined) return '';
	return `  virtual server  ${endpointText(server)}${server.vni === null ? '' : ` (VNI ${server.vni})`}\n`;
}

function endpointText({ address, port }: ClientEndpointJson): string {
	if (port === null) return address;
	return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

async function read(path: string, daemon: DaemonAddress): Promise<readonly ConnectionJson[]> {
	const { status, body } = await getFromDaemon(daemon, path).catch((error: unknown) => {
		throw toLookupError(error, formatDaemonAddress(daemon));
	});
	const { connections, detail } = parse(body);
	if (status === 200 && Array.isArray(connections)) return connections as ConnectionJson[];
	if (status === 503 && typeof detail === 'string') {
		throw new ToascopeError(
			'NOT_RUNNING',
			`the daemon at ${formatDaemonAddress(daemon)} cannot answer now: ${detail}`,
			{
				hint: 'try again',
			},
		);
	}
	throw new ToascopeError(
		'NOT_RUNNING',
		`${formatDaemonAddress(daemon)} is not a toascope daemon (HTTP status ${status})`,
		{
			hint: 'see http.listen and http.socket in its configuration, and toascope doctor',
		},
	);
}

/** The body as a JSON object; anything else is an object without members. */
function parse(body: string): { readonly connections?: unknown; readonly detail?: unknown } {
	try {
		return (JSON.parse(body) as object | null) ?? {};
	} catch {
		return {};
	}
}

function toLookupError(error: unknown, where: string): ToascopeError {
	const kind = errorKindOf(error);
	if (kind === 'denied') {
		return new ToascopeError('NO_PRIVILEGE', `this user is not allowed to use ${where}`, {
			hint: 'use sudo, or be in the group of the socket; or ask at http.listen, with --url',
			cause: error,
		});
	}
	if (kind === 'other') {
		return new ToascopeError('NOT_RUNNING', `no answer from ${where}: ${(error as Error).message}`, {
			hint: 'see toascope doctor, and the log of the daemon: journalctl -u toascope',
			cause: error,
		});
	}
	return new ToascopeError('NOT_RUNNING', `no daemon is listening at ${where}`, {
		hint: 'start it with: toascope run; if it listens elsewhere, use --socket or --url',
		cause: error,
	});
}
