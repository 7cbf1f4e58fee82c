// SPDX-License-Identifier: Apache-2.0
/** Connections that stay open and carry nothing, as many as are wanted. */
import { ToascopeError } from '../daemon/errors.ts';
import { Ends } from './ends.ts';
import type { Ground } from './ground.ts';
import type { Places, Report } from './load.ts';

/** 100,000 connections one after the other. */
const longestMs = 60_000;

export class Holding implements AsyncDisposable {
	readonly #ends: Ends;

	private constructor(ends: Ends) {
		this.#ends = ends;
	}

	/** `clients`: so many distinct TOA addresses. `peers`: a file that gets a line for each connection: its peer and its client. */
	static async start(ground: Ground, clients: number, peers?: string): Promise<Holding> {
		const own = [String(clients), ...(peers === undefined ? [] : [peers])];
		return new Holding(await Ends.start(ground, 'toascope-hold', own));
	}

	/**
	 * Resolves when all are open and accepted.
	 * @throws {ToascopeError} LAB_FAILED when one is not
	 */
	async hold(places: Places, connections: number): Promise<void> {
		this.#ends.move(places);
		await this.#ends.server.ask(`hold ${connections}`);
		const client = await this.#ends.client.ask<Report>(`hold ${connections}`, longestMs);
		if (client.connections !== connections) {
			throw new ToascopeError('LAB_FAILED', `${connections} connections were to be open, ${client.connections} are`);
		}
		const server = await this.#ends.server.ask<Report>('held', longestMs);
		if (server.connections !== connections) {
			throw new ToascopeError(
				'LAB_FAILED',
				`${connections} connections were to be accepted, ${server.connections} were`,
			);
		}
	}

	/** Closes them, the client first. */
	async drop(): Promise<void> {
		await this.#ends.client.ask('drop', longestMs);
		await this.#ends.server.ask('drop', longestMs);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.#ends[Symbol.asyncDispose]();
	}
}
