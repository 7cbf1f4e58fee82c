// SPDX-License-Identifier: Apache-2.0
/** Controls the echo server process of the lab. */
import type { ChildProcess } from 'node:child_process';
import { ToascopeError } from '../errors.ts';
import { isReadyLine, stop, untilReady } from './process.ts';
import type { EchoRecord } from './protocol.ts';

export class LabServer {
	readonly #child: ChildProcess;
	/** The port that it listens on. */
	readonly port: number;

	private constructor(child: ChildProcess, port: number) {
		this.#child = child;
		this.port = port;
	}

	/**
	 * Resolves when `child`, which runs echo_server.ts with pipes for all three streams, is ready.
	 * `onRecords` gets the records of connections as they end.
	 * @throws ToascopeError LAB_FAILED when it does not start.
	 */
	static async open(child: ChildProcess, onRecords: (records: readonly EchoRecord[]) => void): Promise<LabServer> {
		const ready = await untilReady(child, 'lab server', isReadyLine, (value) => onRecords(value as EchoRecord[]));
		return new LabServer(child, (ready as { port: number }).port);
	}

	/** PID of the process, in the PID namespace of this process. */
	get pid(): number {
		if (this.#child.pid === undefined) throw new ToascopeError('LAB_FAILED', 'the lab server has no process');
		return this.#child.pid;
	}

	/** Stops the process. Later calls do nothing. */
	async close(): Promise<void> {
		await stop(this.#child);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}
}
