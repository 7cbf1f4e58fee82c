// SPDX-License-Identifier: Apache-2.0
/**
 * The load on a real web server: nginx, and an HTTP client that is moved between cgroups from run
 * to run.
 */

import {
	Client,
	combineReports,
	type EndpointCgroups,
	type Limits,
	type Load,
	type Run,
	responseBytes,
	threads,
} from './load.ts';
import { Nginx } from './nginx.ts';
import type { Sandbox } from './sandbox.ts';

export class NginxLoad implements Load {
	readonly #sandbox: Sandbox;
	readonly #nginx: Nginx;
	readonly #client: Client;

	private constructor(sandbox: Sandbox, nginx: Nginx, client: Client) {
		this.#sandbox = sandbox;
		this.#nginx = nginx;
		this.#client = client;
	}

	/**
	 * `program` is nginx, `clients` the number of distinct TOA addresses, and `cgroups` are those
	 * that runs name for the server.
	 */
	static async start(
		sandbox: Sandbox,
		program: string,
		clients: number,
		cgroups: readonly string[],
	): Promise<NginxLoad> {
		const nginx = await Nginx.start(sandbox, program, { workers: threads, bytes: responseBytes, cgroups });
		try {
			return new NginxLoad(sandbox, nginx, await Client.start(sandbox, clients, ['--http=/page']));
		} catch (error) {
			await nginx[Symbol.asyncDispose]();
			throw error;
		}
	}

	async run(cgroups: EndpointCgroups, limits: Limits): Promise<Run> {
		this.#sandbox.move(this.#client.child, cgroups.client);
		const before = this.#nginx.cpuSeconds;
		const client = await this.#client.run(limits, this.#nginx.port(cgroups.server));
		const cpuSeconds = this.#nginx.cpuSeconds - before;
		return combineReports(client, { connections: this.#nginx.takeLogged(), errors: 0, cpu_seconds: cpuSeconds });
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await Promise.all([this.#nginx[Symbol.asyncDispose](), this.#client[Symbol.asyncDispose]()]);
	}
}
