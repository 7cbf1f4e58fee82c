// SPDX-License-Identifier: Apache-2.0
/** Controls the client process of the lab. */
import type { ChildProcess } from 'node:child_process';
import { ToascopeError } from '../errors.ts';
import { hasEnded, isReadyLine, stop, untilReady } from './process.ts';
import type { Answer, Batch, Command, ConnectionResult } from './protocol.ts';

interface Pending {
	resolve(results: ConnectionResult[]): void;
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
	 * Resolves when `child`, which runs client.ts with pipes for all three streams, is ready.
	 * @throws ToascopeError LAB_FAILED when it does not start.
	 */
	static async open(child: ChildProcess): Promise<LabClient> {
		const client = new LabClient(child);
		child.stdin?.on('error', () => {});
		await untilReady(child, 'lab client', isReadyLine, (value) => client.#answered(value as Answer));
		child.once('close', () => client.#rejectPending());
		return client;
	}

	/**
	 * Makes the connections of a batch and resolves with their results when all have closed (or
	 * with `hold`, have their reply). Batches run concurrently. A connection that fails is a result
	 * with `error`.
	 * @throws ToascopeError LAB_FAILED when the process has exited.
	 */
	run(batch: Batch): Promise<ConnectionResult[]> {
		return this.#command({ command: this.#commands++, run: batch });
	}

	/** Closes the connections that `hold` keeps open; resolves when they have closed. */
	async release(): Promise<void> {
		await this.#command({ command: this.#commands++, release: true });
	}

	#command(command: Command): Promise<ConnectionResult[]> {
		if (hasEnded(this.#child)) throw new ToascopeError('LAB_FAILED', 'the lab client has exited');
		return new Promise((resolve, reject) => {
			this.#pending.set(command.command, { resolve, reject });
			this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
		});
	}

	#answered(answer: Answer): void {
		this.#pending.get(answer.command)?.resolve([...answer.results]);
		this.#pending.delete(answer.command);
	}

	#rejectPending(): void {
		for (const { reject } of this.#pending.values()) {
			reject(new ToascopeError('LAB_FAILED', 'the lab client has exited'));
		}
		this.#pending.clear();
	}

	/** Stops the process, which closes its connections. Later calls do nothing. */
	async close(): Promise<void> {
		await stop(this.#child);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}
}
