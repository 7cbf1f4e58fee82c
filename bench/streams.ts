// SPDX-License-Identifier: Apache-2.0
/** The load of a few connections that carry as much as they can, both ways. */
import { ToascopeError } from '../daemon/errors.ts';
import type { Ground } from './ground.ts';
import type { Report } from './load.ts';
import { Tool } from './tool.ts';

export class Streams implements AsyncDisposable {
	readonly #ground: Ground;
	readonly #server: Tool;
	readonly #client: Tool;

	private constructor(ground: Ground, server: Tool, client: Tool) {
		this.#ground = ground;
		this.#server = server;
		this.#client = client;
	}

	static async start(ground: Ground): Promise<Streams> {
		const server = await Tool.start(ground, 'toascope-streams', ['server']);
		try {
			const client = await Tool.start(ground, 'toascope-streams', ['client', ground.directory]);
			return new Streams(ground, server, client);
		} catch (error) {
			await server[Symbol.asyncDispose]();
			throw error;
		}
	}

	/**
	 * Both ends in one cgroup.
	 * @throws {ToascopeError} LAB_FAILED unless each byte that was sent was received
	 */
	async run(cgroup: string, seconds: number, streams: number): Promise<{ client: Report; server: Report }> {
		this.#ground.move(this.#server.child, cgroup);
		this.#ground.move(this.#client.child, cgroup);
		await this.#server.ask('open');
		const client = await this.#client.ask<Report>(`run ${seconds} ${streams}`, seconds * 1000);
		const server = await this.#server.ask<Report>('close');
		const lost =
			client.sent_bytes !== server.received_bytes ||
			client.received_bytes !== server.sent_bytes ||
			client.errors + server.errors > 0 ||
			client.connections !== streams;
		if (lost) {
			const said = `client ${JSON.stringify(client)}, server ${JSON.stringify(server)}`;
			throw new ToascopeError('LAB_FAILED', `the load failed: ${said}`);
		}
		return { client, server };
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await Promise.all([this.#server[Symbol.asyncDispose](), this.#client[Symbol.asyncDispose]()]);
	}
}
