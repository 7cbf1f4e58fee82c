// SPDX-License-Identifier: Apache-2.0
/** The load generator: a server that does next to nothing and a client, moved between cgroups from run to run. */
import type { Ground } from './ground.ts';
import {
	agree,
	Client,
	type Limits,
	type Load,
	type Places,
	type Report,
	type Run,
	responseBytes,
	threads,
} from './load.ts';
import { Tool } from './tool.ts';

const requestBytes = 100;

export class Generator implements Load {
	readonly #ground: Ground;
	readonly #server: Tool;
	readonly #client: Client;

	private constructor(ground: Ground, server: Tool, client: Client) {
		this.#ground = ground;
		this.#server = server;
		this.#client = client;
	}

	/** `clients`: so many distinct TOA addresses. */
	static async start(ground: Ground, clients: number): Promise<Generator> {
		const request = `--request=${requestBytes}`;
		const own = [`--threads=${threads}`, `--response=${responseBytes}`];
		const server = await Tool.start(ground, 'toascope-load', ['server', ...own, request]);
		try {
			return new Generator(ground, server, await Client.start(ground, clients, [request]));
		} catch (error) {
			await server[Symbol.asyncDispose]();
			throw error;
		}
	}

	async run(places: Places, limits: Limits): Promise<Run> {
		this.#ground.move(this.#server.child, places.server);
		this.#ground.move(this.#client.child, places.client);
		await this.#server.ask('open');
		const client = await this.#client.run(limits);
		return agree(client, await this.#server.ask<Report>('close'));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await Promise.all([this.#server[Symbol.asyncDispose](), this.#client[Symbol.asyncDispose]()]);
	}
}
