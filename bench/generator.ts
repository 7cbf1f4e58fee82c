// SPDX-License-Identifier: Apache-2.0
/** The load generator: a server and a client process, moved between cgroups from run to run. */
import { availableParallelism } from 'node:os';
import { ToascopeError } from '../daemon/errors.ts';
import type { Ground } from './ground.ts';
import { Tool } from './tool.ts';

/** What one half of the generator did in a run. */
interface Report {
	readonly connections: number;
	readonly seconds: number;
	readonly sent_bytes: number;
	readonly received_bytes: number;
	readonly errors: number;
	readonly cpu_seconds: number;
}

export interface Run {
	readonly connections: number;
	readonly seconds: number;
	/** Accepted connections per second. */
	readonly rate: number;
	/** Of both processes; what interrupts did for them included. */
	readonly cpuSeconds: number;
}

export interface Limits {
	readonly seconds: number;
	/** Undefined: as many as the time allows. */
	readonly connections?: number;
}

/** Where the sockets of each end belong. */
export interface Places {
	readonly server: string;
	readonly client: string;
}

/** Of each process: more of both together than there are processors, so that none of these waits for long. */
const threads = availableParallelism();
/** Connections that a client's thread has open at a time. */
const batch = 32;
const requestBytes = 100;
const responseBytes = 1000;

export class Generator implements AsyncDisposable {
	readonly #ground: Ground;
	readonly #server: Tool;
	readonly #client: Tool;

	private constructor(ground: Ground, server: Tool, client: Tool) {
		this.#ground = ground;
		this.#server = server;
		this.#client = client;
	}

	/** `clients`: so many distinct TOA addresses. */
	static async start(ground: Ground, clients: number): Promise<Generator> {
		const common = [`--threads=${threads}`, `--request=${requestBytes}`, `--response=${responseBytes}`];
		const server = await Tool.start(ground, 'toascope-load', ['server', ...common]);
		const options = [`--batch=${batch}`, `--clients=${clients}`, `--cgroup=${ground.directory}`];
		try {
			return new Generator(
				ground,
				server,
				await Tool.start(ground, 'toascope-load', ['client', ...common, ...options]),
			);
		} catch (error) {
			await server[Symbol.asyncDispose]();
			throw error;
		}
	}

	/** @throws {ToascopeError} LAB_FAILED unless every connection was served to its end */
	async run(places: Places, { seconds, connections }: Limits): Promise<Run> {
		this.#ground.move(this.#server.child, places.server);
		this.#ground.move(this.#client.child, places.client);
		await this.#server.ask('open');
		const client = await this.#client.ask<Report>(`run ${seconds} ${connections ?? ''}`, seconds * 1000);
		const server = await this.#server.ask<Report>('close');
		if (client.errors + server.errors > 0 || client.connections !== server.connections) {
			throw new ToascopeError(
				'LAB_FAILED',
				`the load generator failed: client ${JSON.stringify(client)}, server ${JSON.stringify(server)}`,
			);
		}
		return {
			connections: client.connections,
			seconds: client.seconds,
			rate: client.connections / client.seconds,
			cpuSeconds: client.cpu_seconds + server.cpu_seconds,
		};
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await Promise.all([this.#server[Symbol.asyncDispose](), this.#client[Symbol.asyncDispose]()]);
	}
}
