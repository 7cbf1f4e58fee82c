// SPDX-License-Identifier: Apache-2.0
/** The real daemon in a process of its own, for the host tests. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pino } from 'pino';
import { parseMetrics, type Sample } from '../telemetry/metrics.ts';

export const main = new URL('../../../daemon/main.ts', import.meta.url).pathname;

export interface DaemonOptions {
	/**
	 * YAML, or a function that returns it for the path of the socket. Defaults for missing keys:
	 * HTTP on a free port and on that socket, nothing pinned, a JSON log at level debug.
	 */
	readonly config?: string | ((socket: string) => string);
	readonly env?: Readonly<Record<string, string>>;
	/** The parent of its directory; default: the system's directory for temporary files. */
	readonly parent?: string;
	/**
	 * A command that executes the daemon in its own process, such as `setpriv --pdeathsig KILL --`.
	 */
	readonly through?: readonly string[];
	/** Another program that accepts `run --config FILE`. */
	readonly program?: string;
}

/** One line of the daemon's JSON log. The level is pino's number: 30 info, 40 warn, 50 error. */
export interface LogLine {
	readonly level: number;
	readonly msg: string;
	readonly [field: string]: unknown;
}

export class Daemon {
	readonly child: ChildProcess;
	readonly directory: string;
	readonly socket: string;
	readonly configFile: string;
	readonly log: LogLine[] = [];
	/** Base URL of its HTTP server. */
	url = '';
	readonly #watchers = new Set<(line: LogLine) => void>();

	private constructor(directory: string, { env, through = [], program = main }: DaemonOptions) {
		this.directory = directory;
		this.socket = join(directory, 'toascope.sock');
		this.configFile = join(directory, 'toascope.yaml');
		// the daemon must end with this process: a test that times out does not stop it
		const command = [
			'setpriv',
			'--pdeathsig',
			'TERM',
			'--',
			...through,
			process.execPath,
			program,
			'run',
			'--config',
			this.configFile,
		];
		this.child = spawn(command[0] as string, command.slice(1), {
			stdio: ['ignore', 'inherit', 'pipe'],
			env: { ...process.env, ...env },
		});
		const lines = createInterface({ input: this.child.stderr as NonNullable<ChildProcess['stderr']> });
		lines.on('line', (text) => {
			const line = readLine(text);
			this.log.push(line);
			for (const watch of this.#watchers) watch(line);
		});
	}

	/**
	 * Resolves when the daemon is attached and listening. Rejects with its output if it ends before
	 * that.
	 */
	static async start(options: DaemonOptions = {}): Promise<Daemon> {
		const directory = mkdtempSync(join(options.parent ?? tmpdir(), 'toascope-test-'));
		const { config: given = '' } = options;
		const config = typeof given === 'string' ? given : given(join(directory, 'toascope.sock'));
		const extra = [
			/^http:/m.test(config) ? '' : `http: {listen: "127.0.0.1:0", socket: ${join(directory, 'toascope.sock')}}`,
			/^bpf:/m.test(config) ? '' : 'bpf: {pin: off}',
			/^log:/m.test(config) ? '' : 'log: {format: json, level: debug}',
		];
		writeFileSync(join(directory, 'toascope.yaml'), [config, ...extra, ''].join('\n'));
		const daemon = new Daemon(directory, options);
		const attached = await Promise.race([
			daemon.logged(/^(attached|started):/),
			once(daemon.child, 'exit').then(() => undefined),
		]);
		if (attached === undefined) {
			rmSync(directory, { recursive: true });
			throw new Error(`the daemon ended: ${daemon.log.map((line) => line.msg).join('\n')}`);
		}
		daemon.url = `http://${attached['http']}`;
		return daemon;
	}

	/**
	 * Resolves with the first line from index `from` on whose message matches, as soon as there is
	 * one.
	 */
	logged(message: RegExp, from = 0): Promise<LogLine> {
		const found = this.log.slice(from).find((line) => message.test(line.msg));
		if (found !== undefined) return Promise.resolve(found);
		return new Promise((resolve) => {
			const watch = (line: LogLine) => {
				if (!message.test(line.msg)) return;
				this.#watchers.delete(watch);
				resolve(line);
			};
			this.#watchers.add(watch);
		});
	}

	async json<T>(path: string): Promise<T> {
		return (await (await fetch(this.url + path)).json()) as T;
	}

	/** The samples of one scrape. */
	async metrics(): Promise<Sample[]> {
		return parseMetrics(await (await fetch(`${this.url}/metrics`)).text());
	}

	/** Scrapes every 200 ms until `read` returns a value. The time limit of the test ends it. */
	async until<T>(read: (samples: Sample[]) => T | undefined): Promise<T> {
		for (;;) {
			const result = read(await this.metrics());
			if (result !== undefined) return result;
			await new Promise((resolve) => setTimeout(resolve, 200));
		}
	}

	/**
	 * Writes a new configuration and reloads. Resolves with the log line that reports the outcome.
	 */
	async reload(config: string): Promise<LogLine> {
		writeFileSync(this.configFile, config);
		const from = this.log.length;
		this.child.kill('SIGHUP');
		return this.logged(/reload/, from);
	}

	/** Stops the daemon with a signal. Resolves with its exit code, or the signal that ended it. */
	async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string | null> {
		if (this.child.exitCode === null && this.child.signalCode === null) {
			const ended = once(this.child, 'exit');
			this.child.kill(signal);
			await ended;
		}
		rmSync(this.directory, { recursive: true, force: true });
		return this.child.exitCode ?? this.child.signalCode;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.stop();
	}
}

function readLine(text: string): LogLine {
	try {
		const line = JSON.parse(text) as { level: string; msg: string };
		return { ...line, level: pino.levels.values[line.level] ?? 0 };
	} catch {
		return { level: 0, msg: text };
	}
}
