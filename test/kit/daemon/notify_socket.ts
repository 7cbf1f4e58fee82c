// SPDX-License-Identifier: Apache-2.0
/** A substitute for systemd: a socket for sd_notify(3), and the states that daemons sent to it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { compile } from '../kernel/c_program.ts';

export class NotifySocket implements AsyncDisposable {
	/** All states received so far. */
	readonly states: string[] = [];
	readonly #child: ChildProcess;
	#changed = Promise.withResolvers<void>();

	private constructor(child: ChildProcess) {
		this.#child = child;
	}

	static async open(path: string): Promise<NotifySocket> {
		const child = spawn(compile('notify_receiver'), [path], { stdio: ['ignore', 'pipe', 'inherit'] });
		const socket = new NotifySocket(child);
		const bound = Promise.withResolvers<void>();
		createInterface({ input: child.stdout }).on('line', (line) => {
			if (line === 'bound') return bound.resolve();
			socket.states.push(line);
			socket.#changed.resolve();
			socket.#changed = Promise.withResolvers();
		});
		await bound.promise;
		return socket;
	}

	/** Resolves with the first state from the index `from` on that matches. */
	async until(state: RegExp, from = 0): Promise<string> {
		for (;;) {
			const found = this.states.slice(from).find((one) => state.test(one));
			if (found !== undefined) return found;
			await this.#changed.promise;
		}
	}

	/** Stops reading until goOn(). */
	pause(): void {
		this.#child.kill('SIGSTOP');
	}

	goOn(): void {
		this.#child.kill('SIGCONT');
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const ended = once(this.#child, 'exit');
		this.#child.kill();
		await ended;
	}
}
