// SPDX-License-Identifier: Apache-2.0
/**
 * The collector of the spans, which can be killed and started again at the same address. What it
 * received before is kept.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { stop } from '../../daemon/lab/process.ts';

const program = new URL('./collector.ts', import.meta.url).pathname;

type Lines = readonly (readonly [port: number, client: string])[];

export class CollectorProcess implements AsyncDisposable {
	endpoint = '';
	/** Number of spans received, by the port of their listener. */
	readonly received = new Map<number, number>();
	/** Clients of the spans of the watched port. */
	readonly clients: string[] = [];
	readonly #watched: number;
	#child: ChildProcess | undefined;
	#watchers: (() => void)[] = [];

	private constructor(watchedPort: number) {
		this.#watched = watchedPort;
	}

	static async start(watchedPort: number): Promise<CollectorProcess> {
		const collector = new CollectorProcess(watchedPort);
		await collector.again();
		return collector;
	}

	/** Starts it, at the same address as before. */
	async again(): Promise<void> {
		const port = this.endpoint === '' ? '0' : new URL(this.endpoint).port;
		const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', process.execPath, program, port], {
			stdio: ['ignore', 'pipe', 'inherit'],
		});
		this.#child = child;
		const lines = createInterface({ input: child.stdout });
		const [first] = (await Promise.race([
			once(lines, 'line'),
			once(child, 'exit').then(() => Promise.reject(new Error('the collector did not start'))),
		])) as [string];
		this.endpoint = JSON.parse(first) as string;
		lines.on('line', (line) => this.#record(JSON.parse(line) as Lines));
	}

	#record(lines: Lines): void {
		for (const [port, client] of lines) {
			this.received.set(port, (this.received.get(port) ?? 0) + 1);
			if (port === this.#watched) this.clients.push(client);
		}
		for (const watcher of this.#watchers.splice(0)) watcher();
	}

	async kill(): Promise<void> {
		if (this.#child !== undefined) await stop(this.#child, 'SIGKILL');
		this.#child = undefined;
	}

	/** Resolves when it has received that many spans of the watched port. */
	async until(spans: number): Promise<void> {
		while (this.clients.length < spans) await new Promise<void>((resolve) => this.#watchers.push(resolve));
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.kill();
	}
}
