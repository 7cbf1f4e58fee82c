// SPDX-License-Identifier: Apache-2.0
/**
 * The connections of one server: who holds them, what they wait for, and which one makes room when all places are
 * taken. A caller has no more of a limit than others leave it.
 */
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Names who is at the other end: connections of one caller share a name. */
export type CallerOf = (socket: Socket) => string;

/** A connection that is so new makes no room for a caller that has none. */
const graceMs = 1000;

export const addressOf: CallerOf = ({ remoteAddress }) => remoteAddress ?? 'local';

/** One connection and the requests on it that have no whole answer yet. */
export class HttpConnection {
	readonly socket: Socket;
	readonly caller: string;
	/** In their order. */
	readonly waiting = new Map<ServerResponse, IncomingMessage>();
	/**
	 * When the connection was made, or its last answer had gone: milliseconds of performance.now(). Bytes that come do
	 * not count: one now and then would keep a place for good.
	 */
	activeMs = performance.now();
	/** Nothing more of it is read; it ends when its answers have gone. */
	ending = false;
	#last: readonly [IncomingMessage, ServerResponse] | undefined;
	#idle: (() => void)[] = [];

	readonly #onDone: (request: IncomingMessage, response: ServerResponse) => void;

	constructor(socket: Socket, caller: string, onDone: ConnectionsOptions['onDone']) {
		this.socket = socket;
		this.caller = caller;
		this.#onDone = onDone;
	}

	/** A request has begun whose end has not come. */
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

	/** The connection is no more, nor are the answers that it has not got. */
	end(): void {
		for (const [response, request] of this.waiting) this.#onDone(request, response);
		this.waiting.clear();
	}

	#forget(response: ServerResponse): void {
		this.waiting.delete(response);
		if (this.waiting.size > 0) return;
		for (const then of this.#idle.splice(0)) then();
	}

	/** The rest of a request will not come, so there is no answer to it. False: the answer has begun all the same. */
	giveUpBody(): boolean {
		if (!this.inBody || this.#last === undefined) return true;
		const [, response] = this.#last;
		if (response.headersSent) return false;
		this.#forget(response);
		return true;
	}

	/** Calls back once every request so far has its answer: at once where none waits. Never if the connection ends first. */
	onceAnswered(then: () => void): void {
		if (this.waiting.size === 0) then();
		else this.#idle.push(then);
	}
}

export interface ConnectionsOptions {
	readonly server: Server;
	/** Open at a time. */
	readonly most: number;
	readonly callerOf: CallerOf;
	/** Told of each request, once: its answer has gone, or was broken off. */
	readonly onDone: (request: IncomingMessage, response: ServerResponse) => void;
	/** Told of each that had to end: the newest, or one that made room for it. */
	readonly onEnded: (limit: 'connections' | 'connections_idle', caller: string) => void;
}

export class Connections {
	readonly #open = new Map<Socket, HttpConnection>();
	readonly #options: ConnectionsOptions;

	constructor(options: ConnectionsOptions) {
		this.#options = options;
		const { server, most } = options;
		// many are accepted in one turn of the event loop, and those that are ended then are gone a turn later
		server.maxConnections = 2 * most;
		server.on('drop', (data) => options.onEnded('connections', data?.remoteAddress ?? 'local'));
		server.on('connection', (socket) => this.#add(socket));
		server.prependListener('request', (request, response) => this.of(request.socket)?.begin(request, response));
	}

	/** Undefined for one that has ended. */
	of(socket: Socket): HttpConnection | undefined {
		return this.#open.get(socket);
	}

	#add(socket: Socket): void {
		const newest = new HttpConnection(socket, this.#options.callerOf(socket), this.#options.onDone);
		if (this.#open.size >= this.#options.most) {
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
	 * Of the caller with the most connections, the newest counted: the one that has been idle for longest, else the one
	 * that has sent a part of its request for longest. Answers are broken off for a caller with fewer connections alone.
	 */
	#victim(newest: string): HttpConnection | undefined {
		const open = [...this.#open.values()];
		const makesRoom = roomFor(open, newest);
		const tie = isTie(open, newest);
		const own = open.filter(({ caller }) => makesRoom(caller));
		// of many callers with one connection each none has the most: those that came just now are left alone
		const oldMs = performance.now() - graceMs;
		const old = own.filter(({ activeMs }) => !tie || activeMs < oldMs);
		return (
			leastRecent(old.filter(({ waiting }) => waiting.size === 0)) ??
			leastRecent(old.filter(({ inBody }) => inBody)) ??
			leastRecent(old.filter(({ caller }) => caller !== newest))
		);
	}
}

/** How many of these each caller has. */
export function countByCaller(some: Iterable<{ readonly caller: string }>): Map<string, number> {
	const counts = new Map<string, number>();
	for (const { caller } of some) counts.set(caller, (counts.get(caller) ?? 0) + 1);
	return counts;
}

/** Who has the most of these, with one more for the newest: it takes nothing from those who would then have fewer. */
export function greatestCaller(some: Iterable<{ readonly caller: string }>, newest: string): string {
	const counts = countByCaller(some);
	let greatest = newest;
	let most = (counts.get(newest) ?? 0) + 1;
	for (const [caller, count] of counts) if (count > most) [greatest, most] = [caller, count];
	return greatest;
}

/** No caller has more than the newest would have, and that is its first. */
function isTie(some: Iterable<{ readonly caller: string }>, newest: string): boolean {
	const all = [...some];
	return greatestCaller(all, newest) === newest && !all.some(({ caller }) => caller === newest);
}

/**
 * Whose may make room for the newest: the caller's with the most. Where all have one and the newest has none, everybody's: many
 * names, as users and addresses are to be had, would otherwise keep out whoever comes next.
 */
export function roomFor(some: Iterable<{ readonly caller: string }>, newest: string): (caller: string) => boolean {
	const all = [...some];
	if (isTie(all, newest)) return () => true;
	const greatest = greatestCaller(all, newest);
	return (caller) => caller === greatest;
}

function leastRecent(some: readonly HttpConnection[]): HttpConnection | undefined {
	return some.reduce<HttpConnection | undefined>(
		(least, one) => (least === undefined || one.activeMs < least.activeMs ? one : least),
		undefined,
	);
}
