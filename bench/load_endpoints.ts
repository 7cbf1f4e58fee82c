// SPDX-License-Identifier: Apache-2.0
/** A server and its client: two processes of one program that are moved between cgroups. */

import type { EndpointCgroups } from './load.ts';
import type { Sandbox } from './sandbox.ts';
import { Tool } from './tool.ts';

export class LoadEndpoints implements AsyncDisposable {
	readonly server: Tool;
	readonly client: Tool;
	readonly #sandbox: Sandbox;

	private constructor(sandbox: Sandbox, server: Tool, client: Tool) {
		this.#sandbox = sandbox;
		this.server = server;
		this.client = client;
	}

	/** `args` are the client's, after the bench's cgroup directory, which each client gets. */
	static async start(sandbox: Sandbox, program: string, args: readonly string[] = []): Promise<LoadEndpoints> {
		const server = await Tool.start(sandbox, program, ['server']);
		try {
			return new LoadEndpoints(
				sandbox,
				server,
				await Tool.start(sandbox, program, ['client', sandbox.directory, ...args]),
			);
		} catch (error) {
			await server[Symbol.asyncDispose]();
			throw error;
		}
	}

	move(cgroups: EndpointCgroups): void {
		this.#sandbox.move(this.server.child, cgroups.server);
		this.#sandbox.move(this.client.child, cgroups.client);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await Promise.all([this.server[Symbol.asyncDispose](), this.client[Symbol.asyncDispose]()]);
	}
}
