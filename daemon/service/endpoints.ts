// SPDX-License-Identifier: Apache-2.0
/**
 * The daemon's HTTP endpoints. Serving is independent of attaching: an address that does not exist
 * yet, or a port that another process uses, is tried again while the programs stay attached and
 * count.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import { ToascopeError } from '../errors.ts';
import { LogLimit, type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import type { Readiness } from './readiness.ts';

/** `listen`: http.listen; `socket`: http.socket. */
export type EndpointName = 'listen' | 'socket';

/**
 * The pause before the second attempt; it doubles with each further attempt, up to `lastPauseMs`.
 */
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

/** Listens, and returns where, as the log shows it. */
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
	 * Tries once. If that fails, it tries again in the background, and `notReady` contains
	 * `http_listen` or `http_socket` until it succeeds.
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
			this.#await(name, this.#retry(name, attempt, limit));
			return undefined;
		}
	}

	/**
	 * Listens again after others have removed what it listened on: at once, and if that fails, in
	 * the background like open(). `why` is the reason not to be ready until then.
	 */
	reopen(name: EndpointName, why: string): void {
		const [attempt, before] = [this.#attempts.get(name), this.#servers.get(name)];
		if (attempt === undefined || before === undefined) return;
		this.#servers.delete(name);
		this.#options.readiness.set(`http_${name}`, why);
		this.#await(
			name,
			this.#retry(name, attempt, new LogLimit(this.#options.log), 0).then(() => before.close()),
		);
	}

	/** Runs `work` in the background; close() waits for its end. */
	#await(name: EndpointName, work: Promise<void>): void {
		const waiting: Promise<void> = work
			.catch((err: unknown) => logLine(this.#options.log, logLines.httpCloseFailed, { endpoint: `http.${name}`, err }))
			.finally(() => this.#waiting.delete(waiting));
		this.#waiting.add(waiting);
	}

	/** Endpoints that are being tried again, or whose previous server is being closed. */
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

	/** `limit` belongs to this outage, so that the next outage is logged at once. */
	async #retry(name: EndpointName, attempt: Attempt, limit: LogLimit, waitMs = firstPauseMs): Promise<void> {
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
				logLine(this.#options.log, logLines.httpListening, { endpoint: `http.${name}`, at: where });
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
		limit.log(text, logLines.httpNotListening, { endpoint: `http.${name}`, err });
	}

	/** Failed attempts of the endpoints that are configured, by endpoint. */
	failures(): Readonly<Record<string, bigint>> {
		return Object.fromEntries(this.#failures);
	}

	/** Closes all servers and stops trying. */
	async close(): Promise<void> {
		this.#stopping.abort();
		await Promise.all([...this.#waiting]);
		await Promise.allSettled([...this.#servers.values()].map((server) => server.close()));
	}
}
