// SPDX-License-Identifier: Apache-2.0
/** A program of the bench that answers each line of its input with one line of JSON. */
import type { ChildProcess } from 'node:child_process';
import { ToascopeError } from '../daemon/errors.ts';
import { hasEnded, isReadyLine, stop, untilReady } from '../daemon/lab/process.ts';
import type { Sandbox } from './sandbox.ts';

/** A program fails if it does not answer for this long beyond the expected duration. */
const silenceMs = 30_000;

interface PendingAnswer {
	resolve(value: unknown): void;
	reject(error: unknown): void;
}

export class Tool implements AsyncDisposable {
	readonly child: ChildProcess;
	readonly #name: string;
	readonly #signal: AbortSignal;
	#waiting: PendingAnswer | undefined;

	private constructor(sandbox: Sandbox, name: string, args: readonly string[]) {
		this.#name = name;
		this.#signal = sandbox.signal;
		this.child = sandbox.spawn(name, args);
		// the close handler below reports why the program ended
		this.child.stdin?.on('error', () => {});
		this.child.once('close', (code, signal) => {
			this.#waiting?.reject(new ToascopeError('LAB_FAILED', `${name} ended with ${signal ?? code}`));
		});
	}

	/** @throws {ToascopeError} LAB_FAILED or NO_PRIVILEGE, with the program's error output */
	static async start(sandbox: Sandbox, name: string, args: readonly string[]): Promise<Tool> {
		sandbox.signal.throwIfAborted();
		const tool = new Tool(sandbox, name, args);
		await untilReady(tool.child, name, isReadyLine, (value) => {
			const waiting = tool.#waiting;
			tool.#waiting = undefined;
			waiting?.resolve(value);
		});
		return tool;
	}

	/**
	 * Sends a line and resolves with the answer; one request at a time. `takesMs` is the expected
	 * duration.
	 */
	async ask<T>(line: string, takesMs = 0): Promise<T> {
		this.#signal.throwIfAborted();
		if (hasEnded(this.child)) throw new ToascopeError('LAB_FAILED', `${this.#name} has ended`);
		const signal = AbortSignal.any([this.#signal, AbortSignal.timeout(takesMs + silenceMs)]);
		const { promise, resolve, reject } = Promise.withResolvers<unknown>();
		const silent = () => new ToascopeError('LAB_FAILED', `${this.#name} did not answer "${line}" in time`);
		const abort = () => reject(this.#signal.aborted ? this.#signal.reason : silent());
		signal.addEventListener('abort', abort, { once: true });
		this.#waiting = { resolve, reject };
		this.child.stdin?.write(`${line}\n`);
		try {
			return (await promise) as T;
		} finally {
			signal.removeEventListener('abort', abort);
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await stop(this.child);
	}
}
