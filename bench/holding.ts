// SPDX-License-Identifier: Apache-2.0
/** Opens any number of connections that stay open and carry no data. */
import { ToascopeError } from '../daemon/errors.ts';
import type { EndpointCgroups, Report } from './load.ts';
import { LoadEndpoints } from './load_endpoints.ts';
import type { Sandbox } from './sandbox.ts';

/** Enough for 100,000 connections one after the other. */
const longestMs = 60_000;

export class Holding implements AsyncDisposable {
	readonly #ends: LoadEndpoints;

	private constructor(ends: LoadEndpoints) {
		this.#ends = ends;
	}

	/**
	 * `clients` is the number of distinct TOA addresses. `peers` is a file that gets a line for
	 * each connection, with its peer and its client.
	 */
	static async start(sandbox: Sandbox, clients: number, peers?: string): Promise<Holding> {
		const own = [String(clients), ...(peers === undefined ? [] : [peers])];
		return new Holding(await LoadEndpoints.start(sandbox, 'toascope-hold', own));
	}

	/**
	 * Resolves when all are open and accepted.
	 * @throws {ToascopeError} LAB_FAILED if one is not
	 */
	async hold(cgroups: EndpointCgroups, connections: number): Promise<void> {
		this.#ends.move(cgroups);
		await this.#ends.server.ask(`hold ${connections}`);
		const client = await this.#ends.client.ask<Report>(`hold ${connections}`, longestMs);
		if (client.connections !== connections) {
			throw new ToascopeError('LAB_FAILED', `${client.connections} of ${connections} connections were opened`);
		}
		const server = await this.#ends.server.ask<Report>('held', longestMs);
		if (server.connections !== connections) {
			throw new ToascopeError('LAB_FAILED', `${server.connections} of ${connections} connections were accepted`);
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
