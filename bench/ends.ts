// SPDX-License-Identifier: Apache-2.0
/** A server and its client, two processes of one program, that are moved between cgroups. */
import type { Ground } from './ground.ts';
import type { Places } from './load.ts';
import { Tool } from './tool.ts';

export class Ends implements AsyncDisposable {
	readonly server: Tool;
	readonly client: Tool;
	readonly #ground: Ground;

	private constructor(ground: Ground, server: Tool, client: Tool) {
		this.#ground = ground;
		this.server = server;
		this.client = client;
	}

	/** `args`: of the client, behind the folder that all clients are told. */
	static async start(ground: Ground, program: string, args: readonly string[] = []): Promise<Ends> {
		const server = await Tool.start(ground, program, ['server']);
		try {
			return new Ends(ground, server, await Tool.start(ground, program, ['client', ground.directory, ...args]));
		} catch (error) {
			await server[Symbol.asyncDispose]();
			throw error;
		}
	}

	move(places: Places): void {
		this.#ground.move(this.server.child, places.server);
		this.#ground.move(this.client.child, places.client);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await Promise.all([this.server[Symbol.asyncDispose](), this.client[Symbol.asyncDispose]()]);
	}
}
