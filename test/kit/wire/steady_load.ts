// SPDX-License-Identifier: Apache-2.0
/**
 * The bench's load generator as load for a test: as many connections on loopback as possible, until
 * it is stopped.
 */

import { constants, setPriority } from 'node:os';
import { combineReports, type Report } from '../../../bench/load.ts';
import { Sandbox } from '../../../bench/sandbox.ts';
import { Tool } from '../../../bench/tool.ts';
import type { TrafficTotals } from '../daemon/expected_traffic.ts';

export interface LoadOptions {
	readonly port: number;
	/** Number of distinct TOA addresses, which are used in rotation. */
	readonly clients: number;
	/** Payload of a connection in each direction, in bytes. */
	readonly request?: number;
	readonly response?: number;
	/**
	 * Runs with the lowest priority: otherwise a start of a daemon that takes long would hardly
	 * finish.
	 */
	readonly nice?: boolean;
	/** Connections per second; undefined: as many as possible. */
	readonly perSecond?: number;
	/** The sandbox to run in, and the cgroup within it; undefined: a sandbox of its own. */
	readonly sandbox?: Sandbox;
	readonly cgroup?: string;
}

/** The generator works in runs of this length, one after the other. It stops between two runs. */
const runSeconds = 0.25;
const [threads, batch] = [2, 16];

interface Parts {
	readonly sandbox: Sandbox;
	readonly own: boolean;
	readonly server: Tool;
	readonly client: Tool;
	readonly port: number;
	readonly perSecond: number;
}

export class SteadyLoad implements AsyncDisposable {
	readonly sandbox: Sandbox;
	/** The address and port, as the daemon labels the listener. */
	readonly listener: string;
	readonly #server: Tool;
	readonly #client: Tool;
	readonly #own: boolean;
	readonly #perSecond: number;
	readonly #ran: Promise<readonly Report[]>;
	#stopped = false;
	#connections = 0;
	#watchers: (() => void)[] = [];

	private constructor({ sandbox, own, server, client, port, perSecond }: Parts) {
		this.sandbox = sandbox;
		this.#own = own;
		this.#perSecond = perSecond;
		this.#server = server;
		this.#client = client;
		this.listener = `127.0.0.1:${port}`;
		this.#ran = this.#run();
		// stop() reports the error
		this.#ran.catch(() => {});
	}

	/**
	 * Starts the load, by default in a network namespace and a cgroup of its own. It is running
	 * when this resolves.
	 */
	static async start({
		port,
		clients,
		request = 100,
		response = 1000,
		nice = false,
		perSecond = 0,
		sandbox: given,
		cgroup = 'load',
	}: LoadOptions): Promise<SteadyLoad> {
		const sandbox = given ?? (await Sandbox.open(new AbortController().signal));
		const tools: Tool[] = [];
		try {
			const own = [`--port=${port}`, `--threads=${threads}`, `--request=${request}`, `--response=${response}`];
			const toa = [`--batch=${batch}`, `--clients=${clients}`, `--cgroup=${sandbox.directory}`];
			const server = await Tool.start(sandbox, 'toascope-load', ['server', ...own]);
			tools.push(server);
			const client = await Tool.start(sandbox, 'toascope-load', ['client', ...own, ...toa]);
			tools.push(client);
			for (const { child } of tools) {
				sandbox.move(child, cgroup);
				if (nice) setPriority(child.pid ?? 0, constants.priority.PRIORITY_LOW);
			}
			await server.ask('open');
			return new SteadyLoad({ sandbox, own: given === undefined, server, client, port, perSecond });
		} catch (error) {
			await Promise.all(tools.map((tool) => tool[Symbol.asyncDispose]()));
			if (given === undefined) await sandbox[Symbol.asyncDispose]();
			throw error;
		}
	}

	async #run(): Promise<readonly Report[]> {
		const reports: Report[] = [];
		try {
			while (!this.#stopped) {
				reports.push(await this.#client.ask<Report>(`run ${runSeconds} 0 ${this.#perSecond}`, runSeconds * 1000));
				this.#connections += reports.at(-1)?.connections ?? 0;
				this.#notify();
			}
			return reports;
		} finally {
			this.#stopped = true;
			this.#notify();
		}
	}

	#notify(): void {
		for (const watcher of this.#watchers.splice(0)) watcher();
	}

	/** Connections of the runs that have finished. */
	get connections(): number {
		return this.#connections;
	}

	/** Resolves when this many more connections have been made. */
	async more(connections: number): Promise<void> {
		const wanted = this.#connections + connections;
		while (this.#connections < wanted) {
			if (this.#stopped) throw new Error('the load has ended');
			await new Promise<void>((resolve) => this.#watchers.push(resolve));
		}
	}

	/**
	 * Stops the load in an orderly way. Resolves with what it has done since it started, as the
	 * server counted it.
	 * @throws {ToascopeError} LAB_FAILED unless both ends agree on every connection
	 * @throws {Error} unless both ends agree on every byte
	 */
	async stop(): Promise<TrafficTotals> {
		this.#stopped = true;
		const reports = await this.#ran;
		const sum = (of: (report: Report) => number) => reports.reduce((all, report) => all + of(report), 0);
		const client = {
			connections: sum(({ connections }) => connections),
			seconds: sum(({ seconds }) => seconds),
			sent_bytes: sum(({ sent_bytes }) => sent_bytes),
			received_bytes: sum(({ received_bytes }) => received_bytes),
			errors: sum(({ errors }) => errors),
			cpu_seconds: sum(({ cpu_seconds }) => cpu_seconds),
		};
		const server = await this.#server.ask<Report>('close');
		combineReports(client, server);
		if (client.sent_bytes !== server.received_bytes || client.received_bytes !== server.sent_bytes) {
			throw new Error(`the byte counts differ: client ${JSON.stringify(client)}, server ${JSON.stringify(server)}`);
		}
		return {
			opened: BigInt(server.connections),
			closed: BigInt(server.connections),
			received: BigInt(server.received_bytes),
			sent: BigInt(server.sent_bytes),
		};
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#stopped = true;
		await Promise.all([this.#client[Symbol.asyncDispose](), this.#server[Symbol.asyncDispose]()]);
		if (this.#own) await this.sandbox[Symbol.asyncDispose]();
	}
}
