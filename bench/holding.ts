// SPDX-License-Identifier: Apache-2.0
/** Connections that stay open and carry nothing, as many as are wanted. */
import { ToascopeError } from '../daemon/errors.ts';
import type { Ground } from './ground.ts';
import type { Places, Report } from './load.ts';
import { Tool } from './tool.ts';

/** 100,000 connections one after the other. */
const longestMs = 60_000;

export class Holding implements AsyncDisposable {
	readonly #ground: Ground;
	readonly #server: Tool;
	readonly #client: Tool;

	private constructor(ground: Ground, server: Tool, client: Tool) {
		this.#ground = ground;
		this.#server = server;
		this.#client = client;
	}

	/** `clients`: so many distinct TOA addresses. `peers`: a file that gets a line for each connection: its peer and its client. */
	static async start(ground: Ground, clients: number, peers?: string): Promise<Holding> {
		const server = await Tool.start(ground, 'toascope-hold', ['server']);
		try {
			const own = ['client', ground.directory, String(clients), ...(peers === undefined ? [] : [peers])];
			return new Holding(ground, server, await Tool.start(ground, 'toascope-hold', own));
		} catch (error) {
			await server[Symbol.asyncDispose]();
			throw error;
		}
	}

	/**
	 * Resolves when all are open and accepted.
	 * @throws {ToascopeError} LAB_FAILED when one is not
	 */
	async hold(places: Places, connections: number): Promise<void> {
		this.#ground.move(this.#server.child, places.server);
		this.#ground.move(this.#client.child, places.client);
		await this.#server.ask(`hold ${connections}`);
		const client = await this.#client.ask<Report>(`hold ${connections}`, longestMs);
		if (client.connections !== connections) {
			throw new ToascopeError('LAB_FAILED', `${connections} connections were to be open, ${client.connections} are`);
		}
		const server = await this.#server.ask<Report>('held', longestMs);
		if (server.connections !== connections) {
			throw new ToascopeError(
				'LAB_FAILED',
				`${connections} connections were to be accepted, ${server.connections} were`,
			);
		}
	}

	/** Closes them, the client first. */
	async drop(): Promise<void> {
		await this.#client.ask('drop', longestMs);
		await this.#server.ask('drop', longestMs);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await Promise.all([this.#server[Symbol.asyncDispose](), this.#client[Symbol.asyncDispose]()]);
	}
}
