// SPDX-License-Identifier: Apache-2.0
/** A running application in the lab's server namespace, and its access log. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Lab } from '../../../daemon/lab/lab.ts';
import { hasEnded, stop } from '../../../daemon/lab/process.ts';
import { processTree } from '../kernel/bpf_objects.ts';
import type { Listener } from '../wire/toa_stage.ts';
import { type Application, findProgram } from './application.ts';

/** A line of an access log. */
export interface Logged {
	readonly address: string;
	readonly port: number;
	/** The pid of the process that served the request, in the initial pid namespace. */
	readonly pid: number;
}

const linePattern = /^(\S+) (\d+) (\d+)$/;
/** TCP_LISTEN in /proc/PID/net/tcp */
const listenState = '0A';
const retryMs = 10;
const outputMax = 4096;

/**
 * Returns a directory for temporary files that workers without root privileges can enter: the usual
 * one, or /var/tmp if that is closed to others.
 */
function accessibleTmpdir(): string {
	const path = tmpdir();
	const inaccessible = path
		.split('/')
		.some((_, i, parts) => (statSync(`/${parts.slice(1, i + 1).join('/')}`).mode & 0o001) === 0);
	return inaccessible ? '/var/tmp' : path;
}

export class RunningApplication implements AsyncDisposable {
	readonly port: number;
	readonly #child: ChildProcess;
	readonly #forks: boolean;
	readonly #directory: string;
	readonly #log: string;
	/** The number of lines of the log that logged() has returned. */
	#read = 0;

	private constructor(child: ChildProcess, forks: boolean, port: number, directory: string, log: string) {
		this.#child = child;
		this.#forks = forks;
		this.port = port;
		this.#directory = directory;
		this.#log = log;
	}

	/**
	 * Resolves when the application listens; rejects with its output if it ends before that. It
	 * ends with the lab.
	 */
	static async start(
		lab: Lab,
		application: Application,
		listener: Listener,
		port: number,
	): Promise<RunningApplication> {
		const { name, forks = false } = application;
		const program = findProgram(application.program);
		if (program === undefined) throw new Error(`${application.program} is not installed`);
		const directory = mkdtempSync(join(accessibleTmpdir(), 'toascope-application-'));
		const log = join(directory, 'access.log');
		const command = await application.command({ program, listener, port, directory, log });
		// when the first process of a pid namespace ends, so do the others
		const whole = [...(forks ? ['unshare', '--pid', '--kill-child', '--'] : []), ...command];
		const child = lab.spawn('server', whole[0] ?? '', whole.slice(1), {
			cwd: directory,
			stdio: ['ignore', 'pipe', 'pipe'],
		});
		const running = new RunningApplication(child, forks, port, directory, log);
		await running.#untilListening(name);
		return running;
	}

	async #untilListening(name: string): Promise<void> {
		let output = '';
		for (const stream of [this.#child.stdout, this.#child.stderr]) {
			stream?.setEncoding('utf8').on('data', (part: string) => {
				output = (output + part).slice(-outputMax);
			});
		}
		while (!this.#listens()) {
			if (hasEnded(this.#child)) throw new Error(`${name} ended: ${output}`);
			await pause(retryMs);
		}
	}

	#listens(): boolean {
		const port = this.port.toString(16).toUpperCase().padStart(4, '0');
		return ['tcp', 'tcp6'].some((table) =>
			readFileSync(`/proc/${this.#child.pid}/net/${table}`, 'latin1')
				.split('\n')
				.map((line) => line.trim().split(/\s+/))
				.some(([, local, , state]) => state === listenState && local?.endsWith(`:${port}`)),
		);
	}

	/** The pids of its processes. */
	pids(): readonly number[] {
		return processTree(this.#child.pid ?? 0);
	}

	/** Resolves with the new lines of the access log when there are at least this many. */
	async logged(count: number): Promise<readonly Logged[]> {
		let lines: string[] = [];
		while (lines.length < this.#read + count) {
			await pause(retryMs);
			lines = existsSync(this.#log) ? readFileSync(this.#log, 'utf8').split('\n').slice(0, -1) : [];
		}
		const fresh = lines.slice(this.#read);
		this.#read = lines.length;
		const outer = this.#outerPids();
		return fresh.map((line) => {
			const [, address = line, port, pid] = linePattern.exec(line) ?? [];
			return { address, port: Number(port), pid: outer.get(Number(pid)) ?? Number(pid) };
		});
	}

	/**
	 * The pids in the initial pid namespace, by the pid that each process has in its own namespace.
	 */
	#outerPids(): ReadonlyMap<number, number> {
		return new Map(
			this.pids().map((pid) => {
				const status = readFileSync(`/proc/${pid}/status`, 'latin1');
				const numbers = /^NSpid:\s*(.*)$/m.exec(status)?.[1]?.split(/\s+/).map(Number) ?? [];
				return [numbers.at(-1) ?? pid, pid];
			}),
		);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const [, first] = this.pids();
		if (this.#forks && first !== undefined && !hasEnded(this.#child)) {
			const ended = once(this.#child, 'exit');
			process.kill(first, 'SIGKILL');
			await ended;
		}
		await stop(this.#child, 'SIGKILL');
		rmSync(this.#directory, { recursive: true });
	}
}
