// SPDX-License-Identifier: Apache-2.0
/** What systemd is told: sd_notify(3). A systemd that does not read holds nobody up: what it refused is said again, in order. */
import { native } from '../capture/native.ts';
import type { NotReady } from '../http/ports.ts';
import { type LogSink, logLines, tell } from '../log_lines.ts';
import { firstCollection } from './readiness.ts';

const retryMs = 200;

export class Systemd {
	readonly #log: LogSink;
	readonly #socket: string | undefined;
	/** States that its full socket refused, the oldest first: a few, since each replaces the one of its kind. */
	#waiting: string[] = [];
	#timer: NodeJS.Timeout | undefined;
	#notified = false;
	#complained = false;

	/** Nothing is sent where systemd did not ask for it (Type=notify). An inherited variable may name a socket that is gone, or another's. */
	constructor(log: LogSink, socket = process.env['NOTIFY_SOCKET']) {
		this.#log = log;
		this.#socket = socket === '' ? undefined : socket;
	}

	/**
	 * READY=1 once the first collection has succeeded: what else is awaited then, such as an address for HTTP, is no reason to end a
	 * start that counts. STATUS= says what is awaited, or wrong, at each change.
	 */
	readiness(reasons: readonly NotReady[]): void {
		const status =
			reasons.length === 0 ? 'STATUS=ready' : `STATUS=not ready: ${reasons.map(({ text }) => text).join('; ')}`;
		this.#tell(status.replaceAll('\n', ' '));
		if (!this.#notified && reasons.every(({ reason }) => reason !== firstCollection)) {
			this.#notified = true;
			this.#tell('READY=1');
		}
	}

	reloading(): void {
		this.#tell('RELOADING=1');
	}

	/** A reload is over, whatever became of it. */
	reloaded(): void {
		// one that has never been ready yet is still starting
		if (this.#notified) this.#tell('READY=1');
	}

	stopping(): void {
		this.#tell('STOPPING=1');
	}

	#tell(state: string): void {
		if (this.#socket === undefined) return;
		const kind = state.slice(0, state.indexOf('='));
		// of two the later holds; RELOADING=1 and READY=1 end each other, so the last of each say it all
		this.#waiting = this.#waiting.filter((one) => !one.startsWith(`${kind}=`));
		this.#waiting.push(state);
		if (this.#timer === undefined) this.#send();
	}

	#send(): void {
		this.#timer = undefined;
		for (let state = this.#waiting[0]; state !== undefined; state = this.#waiting[0]) {
			try {
				native().notify(this.#socket as string, state);
			} catch (err) {
				if ((err as NodeJS.ErrnoException).code === 'EAGAIN') {
					this.#timer = setTimeout(() => this.#send(), retryMs).unref();
					return;
				}
				// where one is refused, all are
				if (!this.#complained) tell(this.#log, logLines.notNotified, { err, state });
				this.#complained = true;
			}
			this.#waiting.shift();
		}
	}
}
