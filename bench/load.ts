// SPDX-License-Identifier: Apache-2.0
/**
 * The interface of a load, which is a server and a client with one request on each connection; and
 * the client half that all loads use.
 */
import { availableParallelism } from 'node:os';
import { ToascopeError } from '../daemon/errors.ts';
import type { Sandbox } from './sandbox.ts';
import { Tool } from './tool.ts';

/** The report of one half of the generator on a run. */
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
	/** The processor time of both ends, with the interrupts that are accounted to them. */
	readonly cpuSeconds: number;
}

export interface Limits {
	readonly seconds: number;
	/** Undefined: as many as the time allows. */
	readonly connections?: number;
	/** Connections per second, evenly spaced; undefined: no limit. */
	readonly perSecond?: number;
}

/** The cgroups that the sockets of each end belong to. */
export interface EndpointCgroups {
	readonly server: string;
	readonly client: string;
}

export interface Load extends AsyncDisposable {
	/** @throws {ToascopeError} LAB_FAILED unless every connection was served completely */
	run(cgroups: EndpointCgroups, limits: Limits): Promise<Run>;
}

/**
 * Threads of each end. Both ends together have more threads than there are processors, so that no
 * processor idles for long.
 */
export const threads = availableParallelism();
/** Size of the response, or of its body with HTTP. */
export const responseBytes = 1000;
/** Connections that each client thread has open at a time. */
const batch = 32;

export class Client implements AsyncDisposable {
	readonly #tool: Tool;

	private constructor(tool: Tool) {
		this.#tool = tool;
	}

	get child(): Tool['child'] {
		return this.#tool.child;
	}

	/**
	 * `clients` is the number of distinct TOA addresses; `more` are further options of
	 * toascope-load.
	 */
	static async start(sandbox: Sandbox, clients: number, more: readonly string[]): Promise<Client> {
		const own = [`--threads=${threads}`, `--batch=${batch}`, `--response=${responseBytes}`];
		const toa = [`--clients=${clients}`, `--cgroup=${sandbox.directory}`];
		return new Client(await Tool.start(sandbox, 'toascope-load', ['client', ...own, ...toa, ...more]));
	}

	/** `port` is the server's; undefined: that of the generator's own server. */
	run({ seconds, connections = 0, perSecond = 0 }: Limits, port?: number): Promise<Report> {
		return this.#tool.ask<Report>(`run ${seconds} ${connections} ${perSecond} ${port ?? ''}`, seconds * 1000);
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.#tool[Symbol.asyncDispose]();
	}
}

/**
 * Combines the reports of both ends on a run.
 * @throws {ToascopeError} LAB_FAILED unless they agree and neither counted an error
 */
export function combineReports(client: Report, server: Pick<Report, 'connections' | 'errors' | 'cpu_seconds'>): Run {
	if (client.errors + server.errors > 0 || client.connections !== server.connections) {
		const reports = `client ${JSON.stringify(client)}, server ${JSON.stringify(server)}`;
		throw new ToascopeError('LAB_FAILED', `the load failed: ${reports}`);
	}
	return {
		connections: client.connections,
		seconds: client.seconds,
		rate: client.connections / client.seconds,
		cpuSeconds: client.cpu_seconds + server.cpu_seconds,
	};
}
