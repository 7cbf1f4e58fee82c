// SPDX-License-Identifier: Apache-2.0
/** A server in the lab that accepts every connection (apps/listener.c), on any kind of listener. */
import type { ChildProcess } from 'node:child_process';
import type { Lab } from '../../../daemon/lab/lab.ts';
import { isReadyLine, stop, untilReady } from '../../../daemon/lab/process.ts';
import { compile } from '../kernel/c_program.ts';
import type { ListenerKind } from './probe.ts';

/** See apps/listener.c. */
export type ListenerTrait =
	| 'mptcp'
	| 'defer'
	| 'fastopen'
	| 'silent'
	| 'greeting'
	| 'saving'
	| 'reporting'
	| 'transparent';

/**
 * What a listener with the trait `reporting` reports about a connection: the value of TCP_SAVE_SYN,
 * and the number of bytes that TCP_SAVED_SYN returned.
 */
export interface SynReport {
	readonly save: number;
	readonly saved: number;
}

export class Listener implements AsyncDisposable {
	readonly #child: ChildProcess;
	readonly port: number;
	readonly #reports: SynReport[] = [];
	#waiting: (() => void) | undefined;

	private constructor(child: ChildProcess, port: number) {
		this.#child = child;
		this.port = port;
	}

	/** Starts a listener in the server's namespace. It ends with the lab. */
	static async start(lab: Lab, kind: ListenerKind, port: number, ...traits: ListenerTrait[]): Promise<Listener> {
		const child = lab.spawn('server', compile('listener'), [kind, String(port), ...traits], { stdio: 'pipe' });
		const listener = new Listener(child, port);
		await untilReady(child, 'listener', isReadyLine, (value) => {
			listener.#reports.push(value as SynReport);
			listener.#waiting?.();
		});
		return listener;
	}

	get pid(): number {
		return this.#child.pid ?? 0;
	}

	/** The report of a listener with the trait `reporting` about the next connection. */
	async nextReport(): Promise<SynReport> {
		for (;;) {
			const next = this.#reports.shift();
			if (next !== undefined) return next;
			await new Promise<void>((resolve) => {
				this.#waiting = resolve;
			});
		}
	}

	/** Closes all open connections. */
	closeConnections(): void {
		this.#child.stdin?.write('\n');
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await stop(this.#child, 'SIGKILL');
	}
}
