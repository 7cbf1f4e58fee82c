// SPDX-License-Identifier: Apache-2.0
/**
 * The connections of one server: their callers, their outstanding requests, and which connection
 * is closed for a new one when the limit is reached. A caller gets no more of a limit than the
 * others leave.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Names the caller at the other end; all connections of one caller have the same name. */
export type CallerOf = (socket: Socket) => string;

/**
 * Milliseconds after its last activity during which a connection is not closed in favour of a
 * caller that has none.
 */
const graceMs = 1000;

export const addressOf: CallerOf = ({ remoteAddress }) => remoteAddress ?? 'local';

/** One connection, and its requests whose responses are not complete. */
export class HttpConnection {
	readonly socket: Socket;
	readonly caller: string;
	/** Outstanding requests in the order of their arrival, by response. */
	readonly waiting = new Map<ServerResponse, IncomingMessage>();
	/**
	 * When the connection was accepted, or its last response ended: milliseconds of
	 * performance.now(). Received bytes do not count: a byte now and then would keep the connection
	 * open forever.
	 */
	activeMs = performance.now();
	/** No more is read from it; it is closed when its responses have been sent. */
	ending = false;
	#last: readonly [IncomingMessage, ServerResponse] | undefined;
	#idle: (() => void)[] = [];

	readonly #onDone: (request: IncomingMessage, response: ServerResponse) => void;

	constructor(socket: Socket, caller: string, onDone: ConnectionsOptions['onDone']) {
		this.socket = socket;
		this.caller = caller;
		this.#onDone = onDone;
	}

	/** Whether the last request has begun but not arrived in full. */
	get inBody(): boolean {
		return this.#last?.[0].complete === false;
	}

	begin(request: IncomingMessage, response: ServerResponse): void {
		this.#last = [request, response];
		this.waiting.set(response, request);
		response.once('close', () => {
			this.activeMs = performance.now();
			if (this.waiting.has(response)) this.#onDone(request, response);
			this.#forget(response);
		});
	}

	/** The connection has closed, which also ends its outstanding requests. */
	end(): void {
		for (const [response, request] of this.waiting) this.#onDone(request, response);
		this.waiting.clear();
	}

	#forget(response: ServerResponse): void {
		this.waiting.delete(response);
		if (this.waiting.size > 0) return;
		for (const callback of this.#idle.splice(0)) callback();
	}

	/**
	 * The rest of the last request will not arrive, so it gets no response. Returns false if its
	 * response has already begun.
	 */
	abandonBody(): boolean {
		if (!this.inBody || this.#last === undefined) return true;
		const [, response] = this.#last;
		if (response.headersSent) return false;
		this.#forget(response);
		return true;
	}

	/**
	 * Calls back when every request so far has its response: at once if none is outstanding, and
	 * never if the connection ends first.
	 */
	onceIdle(callback: () => void): void {
		if (this.waiting.size === 0) callback();
		else this.#idle.push(callback);
	}
}

export interface ConnectionsOptions {
	readonly server: Server;
	/** Maximum number of open connections. */
	readonly maxConnections: number;
	readonly callerOf: CallerOf;
	/** Called once for each request, when its response has been sent or aborted. */
	readonly onDone: (request: IncomingMessage, response: ServerResponse) => void;
	/** Called for each connection that is closed: the newest, or one that makes room for it. */
	readonly onEnded: (limit: 'connections' | 'connections_idle', caller: string) => void;
}

export class Connections {
	readonly #open = new Map<Socket, HttpConnection>();
	readonly #options: ConnectionsOptions;

	constructor(options: ConnectionsOptions) {
		this.#options = options;
		const { server, maxConnections } = options;
		// the event loop accepts many connections in one iteration, and those that were ended in it
		// close only in the next
		server.maxConnections = 2 * maxConnections;
		server.on('drop', (data) => options.onEnded('connections', data?.remoteAddress ?? 'local'));
		server.on('connection', (socket) => this.#add(socket));
		server.prependListener('request', (request, response) => this.of(request.socket)?.begin(request, response));
	}

	/** Undefined for a connection that has ended. */
	of(socket: Socket): HttpConnection | undefined {
		return this.#open.get(socket);
	}

	#add(socket: Socket): void {
		const newest = new HttpConnection(socket, this.#options.callerOf(socket), this.#options.onDone);
		if (this.#open.size >= this.#options.maxConnections) {
			const victim = this.#victim(newest.caller);
			this.#options.onEnded(victim === undefined ? 'connections' : 'connections_idle', (victim ?? newest).caller);
			(victim ?? newest).socket.destroy();
			if (victim === undefined) return;
			this.#open.delete(victim.socket);
		}
		this.#open.set(socket, newest);
		socket.once('close', () => {
			this.#open.delete(socket);
			newest.end();
		});
	}

	/**
	 * The connection to close, from those of the caller with the most (the newest one counted): the
	 * one that has been idle for longest, otherwise the one that has been sending a request for
	 * longest. A response is aborted only for a caller with fewer connections.
	 */
	#victim(newest: string): HttpConnection | undefined {
		const open = [...this.#open.values()];
		const makesRoom = displaceableCallers(open, newest);
		const tie = isTie(open, newest);
		const own = open.filter(({ caller }) => makesRoom(caller));
		// if every caller has one connection, none has the most: recently active ones are kept
		const oldMs = performance.now() - graceMs;
		const old = own.filter(({ activeMs }) => !tie || activeMs < oldMs);
		return (
			leastRecent(old.filter(({ waiting }) => waiting.size === 0)) ??
			leastRecent(old.filter(({ inBody }) => inBody)) ??
			leastRecent(old.filter(({ caller }) => caller !== newest))
		);
	}
}

/** Counts the entries of each caller. */
export function countByCaller(entries: Iterable<{ readonly caller: string }>): Map<string, number> {
	const counts = new Map<string, number>();
	for (const { caller } of entries) counts.set(caller, (counts.get(caller) ?? 0) + 1);
	return counts;
}

/**
 * The caller with the most entries, where the caller `newest` counts with one more: it cannot
 * displace entries of a caller that would then have fewer.
 */
function busiestCaller(entries: Iterable<{ readonly caller: string }>, newest: string): string {
	const counts = countByCaller(entries);
	let greatest = newest;
	let most = (counts.get(newest) ?? 0) + 1;
	for (const [caller, count] of counts) if (count > most) [greatest, most] = [caller, count];
	return greatest;
}

/** Whether every caller has one entry and `newest` has none. */
function isTie(entries: Iterable<{ readonly caller: string }>, newest: string): boolean {
	const all = [...entries];
	return busiestCaller(all, newest) === newest && !all.some(({ caller }) => caller === newest);
}

/**
 * Returns which callers' entries can be displaced for one of `newest`: those of the caller with the
 * most. If every caller has one entry and `newest` has none, all entries can be: otherwise many
 * callers, since users and addresses are easy to get, would keep out every new one.
 */
export function displaceableCallers(
	entries: Iterable<{ readonly caller: string }>,
	newest: string,
): (caller: string) => boolean {
	const all = [...entries];
	if (isTie(all, newest)) return () => true;
	const greatest = busiestCaller(all, newest);
	return (caller) => caller === greatest;
}

function leastRecent(entries: readonly HttpConnection[]): HttpConnection | undefined {
	return entries.reduce<HttpConnection | undefined>(
		(oldest, one) => (oldest === undefined || one.activeMs < oldest.activeMs ? one : oldest),
		undefined,
	);
}
