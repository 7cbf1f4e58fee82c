// SPDX-License-Identifier: Apache-2.0
/** The echo server process of the lab, from the caller's side. */
import type { ChildProcess } from 'node:child_process';
import { ToascopeError } from '../errors.ts';
import { isReadyLine, stop, untilReady } from './process.ts';
import type { EchoRecord } from './protocol.ts';

export class LabServer {
	readonly #child: ChildProcess;
	/** The port it listens on. */
	readonly port: number;

	private constructor(child: ChildProcess, port: number) {
		this.#child = child;
		this.port = port;
	}

	/**
	 * Takes over a process that runs echo_server.ts, with pipes for all three streams. `onRecords` gets the
	 * connections as they end.
	 * @throws ToascopeError LAB_FAILED when it does not start.
	 */
	static async open(child: ChildProcess, onRecords: (records: readonly EchoRecord[]) => void): Promise<LabServer> {
		const ready = await untilReady(child, 'lab server', isReadyLine, (value) => onRecords(value as EchoRecord[]));
		return new LabServer(child, (ready as { port: number }).port);
	}

	/** Of the process, as this process's pid namespace numbers it. */
	get pid(): number {
		if (this.#child.pid === undefined) throw new ToascopeError('LAB_FAILED', 'the lab server has no process');
		return this.#child.pid;
	}

	/** Ends the process. Does nothing the second time. */
	async close(): Promise<void> {
		await stop(this.#child);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.close();
	}
}
