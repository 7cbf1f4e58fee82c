// SPDX-License-Identifier: Apache-2.0
/**
 * Where the daemon serves HTTP. Serving and attaching are two things: an address that is not there yet, or a port that another
 * process has, is tried again while the programs stay attached and count.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { ToascopeError } from '../errors.ts';
import { LogLimit, type LogSink, logLines, tell } from '../log_lines.ts';
import type { Readiness } from './readiness.ts';

/** `listen`: http.listen; `socket`: http.socket. */
export type EndpointName = 'listen' | 'socket';

/** The pause before the second attempt; each further one is twice as long, up to the last. */
const firstPauseMs = 250;
const lastPauseMs = 5000;

export interface EndpointsOptions {
	/** A new application for each attempt. */
	readonly create: () => FastifyInstance;
	readonly log: LogSink;
	readonly readiness: Readiness;
	/** False: an endpoint that cannot listen at once is an error. */
	readonly retry: boolean;
}

/** Listens, and says where, as the log shows it. */
export type Attempt = (app: FastifyInstance) => Promise<string>;

export class Endpoints {
	readonly #options: EndpointsOptions;
	readonly #servers = new Map<EndpointName, FastifyInstance>();
	readonly #attempts = new Map<EndpointName, Attempt>();
	readonly #failures = new Map<EndpointName, bigint>();
	readonly #waiting = new Set<Promise<void>>();
	readonly #stopping = new AbortController();

	constructor(options: EndpointsOptions) {
		this.#options = options;
	}

	/**
	 * Tries once; where that fails, again and again in the background, and `notReady` has it as `http_listen` or `http_socket`.
	 * @returns where it listens; undefined: not yet
	 * @throws {ToascopeError} ALREADY_RUNNING, and without `retry` whatever keeps it from listening
	 */
	async open(name: EndpointName, attempt: Attempt): Promise<string | undefined> {
		this.#failures.set(name, 0n);
		this.#attempts.set(name, attempt);
		try {
			return await this.#try(name, attempt);
		} catch (error) {
			const final = !(error instanceof ToascopeError) || error.code === 'ALREADY_RUNNING';
			if (final || !this.#options.retry) throw error;
			const limit = new LogLimit(this.#options.log);
			this.#failed(name, error, limit);
			this.#await(name, this.#again(name, attempt, limit));
			return undefined;
		}
	}

	/**
	 * Listens again where what was listened on was taken away by others: at once, and where that fails as open() does. `why` is
	 * the reason not to be ready until then.
	 */
	reopen(name: EndpointName, why: string): void {
		const [attempt, before] = [this.#attempts.get(name), this.#servers.get(name)];
		if (attempt === undefined || before === undefined) return;
		this.#servers.delete(name);
		this.#options.readiness.set(`http_${name}`, why);
		this.#await(
			name,
			this.#again(name, attempt, new LogLimit(this.#options.log), 0).then(() => before.close()),
		);
	}

	/** close() waits for it, until it is over. */
	#await(name: EndpointName, work: Promise<void>): void {
		const waiting: Promise<void> = work
			.catch((err: unknown) => tell(this.#options.log, logLines.httpCloseFailed, { endpoint: `http.${name}`, err }))
			.finally(() => this.#waiting.delete(waiting));
		this.#waiting.add(waiting);
	}

	/** Endpoints that are waited for, or whose server before is being closed. */
	get waiting(): number {
		return this.#waiting.size;
	}

	async #try(name: EndpointName, attempt: Attempt): Promise<string> {
		const app = this.#options.create();
		try {
			const where = await attempt(app);
			this.#servers.set(name, app);
			return where;
		} catch (error) {
			await app.close();
			throw error;
		}
	}

	/** `limit`: of this outage; the next one is told at once. */
	async #again(name: EndpointName, attempt: Attempt, limit: LogLimit, waitMs = firstPauseMs): Promise<void> {
		const { signal } = this.#stopping;
		for (let pauseMs = waitMs; ; pauseMs = Math.min(Math.max(2 * pauseMs, firstPauseMs), lastPauseMs)) {
			try {
				await delay(pauseMs, undefined, { signal, ref: false });
			} catch {
				return;
			}
			try {
				const where = await this.#try(name, attempt);
				this.#options.readiness.clear(`http_${name}`);
				tell(this.#options.log, logLines.httpListening, { endpoint: `http.${name}`, at: where });
				return;
			} catch (error) {
				this.#failed(name, error, limit);
			}
		}
	}

	#failed(name: EndpointName, err: unknown, limit: LogLimit): void {
		this.#failures.set(name, (this.#failures.get(name) ?? 0n) + 1n);
		const text = err instanceof Error ? err.message : String(err);
		this.#options.readiness.set(`http_${name}`, text);
		limit.tell(text, logLines.httpNotListening, { endpoint: `http.${name}`, err });
	}

	/** Attempts that failed, by endpoint: those that are configured. */
	failures(): Readonly<Record<string, bigint>> {
		return Object.fromEntries(this.#failures);
	}

	/** Listens nowhere any more, and tries no more. */
	async close(): Promise<void> {
		this.#stopping.abort();
		await Promise.all([...this.#waiting]);
		await Promise.allSettled([...this.#servers.values()].map((server) => server.close()));
	}
}
