// SPDX-License-Identifier: Apache-2.0
/** The client process of the lab, from the caller's side. */
import type { ChildProcess } from 'node:child_process';
import { ToascopeError } from '../errors.ts';
import { hasEnded, isReadyLine, stop, untilReady } from './process.ts';
import type { Answer, Batch, Command, Result } from './protocol.ts';

interface Pending {
	resolve(results: Result[]): void;
	reject(error: unknown): void;
}

export class LabClient {
	readonly #child: ChildProcess;
	readonly #pending = new Map<number, Pending>();
	#commands = 0;

	private constructor(child: ChildProcess) {
		this.#child = child;
	}

	/**
	 * Takes over a process that runs client.ts, with pipes for all three streams.
	 * @throws ToascopeError LAB_FAILED when it does not start.
	 */
	static async open(child: ChildProcess): Promise<LabClient> {
		const client = new LabClient(child);
		child.stdin?.on('error', () => {});
		await untilReady(child, 'lab client', isReadyLine, (value) => client.#answered(value as Answer));
		child.once('close', () => client.#lost());
		return client;
	}

	/**
	 * Makes the connections of a batch and resolves with what the client knows of each when all are closed (or,
	 * held, have their reply). Batches run side by side. A connection that fails is a result with `error`.
	 * @throws ToascopeError LAB_FAILED when the process is gone.
	 */
	run(batch: Batch): Promise<Result[]> {
		return this.#command({ command: this.#commands++, run: batch });
	}

	/** Closes the connections that batches with `hold` left open; resolves when they are closed. */
	async release(): Promise<void> {
		await this.#command({ command: this.#commands++, release: true });
	}

	#command(command: Command): Promise<Result[]> {
		if (hasEnded(this.#child)) throw new ToascopeError('LAB_FAILED', 'the lab client is gone');
		return new Promise((resolve, reject) => {
			this.#pending.set(command.command, { resolve, reject });
			this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
		});
	}

	#answered(answer: Answer): void {
		this.#pending.get(answer.command)?.resolve([...answer.results]);
		this.#pending.delete(answer.command);
	}

	#lost(): void {
		for (const { reject } of this.#pending.values()) {
			reject(new ToascopeError('LAB_FAILED', 'the lab client is gone'));
		}
		this.#pending.clear();
	}

	/** Ends the process; open connections are cut. Does nothing the second time. */
	async close(): Promise<void> {
		await stop(this.#child);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}
}
