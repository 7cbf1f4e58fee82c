// SPDX-License-Identifier: Apache-2.0
/**
 * The load generator: a minimal server and a client, which are moved between cgroups from run to
 * run.
 */

import {
	Client,
	combineReports,
	type EndpointCgroups,
	type Limits,
	type Load,
	type Report,
	type Run,
	responseBytes,
	threads,
} from './load.ts';
import type { Sandbox } from './sandbox.ts';
import { Tool } from './tool.ts';

const requestBytes = 100;

export class Generator implements Load {
	readonly #sandbox: Sandbox;
	readonly #server: Tool;
	readonly #client: Client;

	private constructor(sandbox: Sandbox, server: Tool, client: Client) {
		this.#sandbox = sandbox;
		this.#server = server;
		this.#client = client;
	}

	/** `clients` is the number of distinct TOA addresses. */
	static async start(sandbox: Sandbox, clients: number): Promise<Generator> {
		const request = `--request=${requestBytes}`;
		const own = [`--threads=${threads}`, `--response=${responseBytes}`];
		const server = await Tool.start(sandbox, 'toascope-load', ['server', ...own, request]);
		try {
			return new Generator(sandbox, server, await Client.start(sandbox, clients, [request]));
		} catch (error) {
			await server[Symbol.asyncDispose]();
			throw error;
		}
	}

	async run(cgroups: EndpointCgroups, limits: Limits): Promise<Run> {
		this.#sandbox.move(this.#server.child, cgroups.server);
		this.#sandbox.move(this.#client.child, cgroups.client);
		await this.#server.ask('open');
		const client = await this.#client.run(limits);
		return combineReports(client, await this.#server.ask<Report>('close'));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await Promise.all([this.#server[Symbol.asyncDispose](), this.#client[Symbol.asyncDispose]()]);
	}
}
