// SPDX-License-Identifier: Apache-2.0
/**
 * Notifications to systemd: sd_notify(3). A systemd that does not read them holds up nothing: what
 * its socket refused is sent again, in order.
 */
import { native } from '../../native/binding.ts';
import type { NotReady } from '../http/view.ts';
import { type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { firstCollection } from './readiness.ts';

const retryMs = 200;

export class Systemd {
	readonly #log: LogSink;
	readonly #socket: string | undefined;
	/**
	 * States that the full socket refused, the oldest first: few, since each replaces the one of
	 * its kind.
	 */
	#waiting: string[] = [];
	#timer: NodeJS.Timeout | undefined;
	#notified = false;
	#failureLogged = false;

	/**
	 * Nothing is sent unless systemd asked for it (Type=notify). An inherited variable can name a
	 * socket that is gone, or one of another process.
	 */
	constructor(log: LogSink, socket = process.env['NOTIFY_SOCKET']) {
		this.#log = log;
		this.#socket = socket === '' ? undefined : socket;
	}

	/**
	 * Sends READY=1 once the first collection has succeeded: what is awaited after that, such as an
	 * address for HTTP, is not a reason to end a start that counts. STATUS= says what is awaited or
	 * wrong, at each change.
	 */
	readiness(reasons: readonly NotReady[]): void {
		const status =
			reasons.length === 0 ? 'STATUS=ready' : `STATUS=not ready: ${reasons.map(({ text }) => text).join('; ')}`;
		this.#notify(status.replaceAll('\n', ' '));
		if (!this.#notified && reasons.every(({ reason }) => reason !== firstCollection)) {
			this.#notified = true;
			this.#notify('READY=1');
		}
	}

	reloading(): void {
		this.#notify('RELOADING=1');
	}

	/** A reload is over, whether or not it succeeded. */
	reloaded(): void {
		// a daemon that has never been ready is still starting
		if (this.#notified) this.#notify('READY=1');
	}

	stopping(): void {
		this.#notify('STOPPING=1');
	}

	#notify(state: string): void {
		if (this.#socket === undefined) return;
		const kind = state.slice(0, state.indexOf('='));
		// a later state replaces an earlier one of its kind; RELOADING=1 and READY=1 end each
		// other, so the last of each is enough
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
				// if one is refused, all are, so it is logged once
				if (!this.#failureLogged) logLine(this.#log, logLines.notNotified, { err, state });
				this.#failureLogged = true;
			}
			this.#waiting.shift();
		}
	}
}
