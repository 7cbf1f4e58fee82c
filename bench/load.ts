// SPDX-License-Identifier: Apache-2.0
/** What a load is: a server and a client, one request on each connection, and the client half of all of them. */
import { availableParallelism } from 'node:os';
import { ToascopeError } from '../daemon/errors.ts';
import type { Ground } from './ground.ts';
import { Tool } from './tool.ts';

/** What one half of the generator did in a run. */
export interface Report {
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
	/** Of both ends; what interrupts did for them included. */
	readonly cpuSeconds: number;
}

export interface Limits {
	readonly seconds: number;
	/** Undefined: as many as the time allows. */
	readonly connections?: number;
	/** So many in a second, evenly; undefined: as many as come. */
	readonly perSecond?: number;
}

/** The cgroups that the sockets of each end belong to. */
export interface Places {
	readonly server: string;
	readonly client: string;
}

export interface Load extends AsyncDisposable {
	/** @throws {ToascopeError} LAB_FAILED unless every connection was served to its end */
	run(places: Places, limits: Limits): Promise<Run>;
}

/** Of each end: more of both together than there are processors, so that none of these waits for long. */
export const threads = availableParallelism();
/** Of the response; its body where there is a head before it. */
export const responseBytes = 1000;
/** Connections that a client's thread has open at a time. */
const batch = 32;

export class Client implements AsyncDisposable {
	readonly #tool: Tool;

	private constructor(tool: Tool) {
		this.#tool = tool;
	}

	get child(): Tool['child'] {
		return this.#tool.child;
	}

	/** `clients`: so many distinct TOA addresses; `more`: of toascope-load's options. */
	static async start(ground: Ground, clients: number, more: readonly string[]): Promise<Client> {
		const own = [`--threads=${threads}`, `--batch=${batch}`, `--response=${responseBytes}`];
		const toa = [`--clients=${clients}`, `--cgroup=${ground.directory}`];
		return new Client(await Tool.start(ground, 'toascope-load', ['client', ...own, ...toa, ...more]));
	}

	/** `port`: undefined for the generator's own server. */
	run({ seconds, connections = 0, perSecond = 0 }: Limits, port?: number): Promise<Report> {
		return this.#tool.ask<Report>(`run ${seconds} ${connections} ${perSecond} ${port ?? ''}`, seconds * 1000);
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.#tool[Symbol.asyncDispose]();
	}
}

/**
 * What both ends say of a run, as one.
 * @throws {ToascopeError} LAB_FAILED unless they agree, and neither saw an error
 */
export function agree(client: Report, server: Pick<Report, 'connections' | 'errors' | 'cpu_seconds'>): Run {
	if (client.errors + server.errors > 0 || client.connections !== server.connections) {
		const said = `client ${JSON.stringify(client)}, server ${JSON.stringify(server)}`;
		throw new ToascopeError('LAB_FAILED', `the load failed: ${said}`);
	}
	return {
		connections: client.connections,
		seconds: client.seconds,
		rate: client.connections / client.seconds,
		cpuSeconds: client.cpu_seconds + server.cpu_seconds,
	};
}
