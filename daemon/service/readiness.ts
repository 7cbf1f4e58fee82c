// SPDX-License-Identifier: Apache-2.0
/**
 * Why the daemon is not ready: named reasons, set and cleared by the component that knows. Without
 * any, it is ready.
 */
import { missingReasons } from '../capture/attachment_report.ts';
import type { NotReady } from '../http/view.ts';
import { LogLimit, type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';

/** Every reason, by its stable name: callers match them. docs/http.md explains each. */
export const notReadyReasons = [
	'first_collection',
	'snapshot_stale',
	'http_listen',
	'http_socket',
	...missingReasons,
	'stopping',
] as const;

export type NotReadyReason = (typeof notReadyReasons)[number];

export class Readiness {
	/** Texts by reason, in the order in which the reasons were set. */
	readonly #reasons = new Map<NotReadyReason, string>();
	readonly #watchers: ((reasons: readonly NotReady[]) => void)[] = [];

	/**
	 * Not ready from now on, until clear() with the same reason. A reason that is set again keeps
	 * its position.
	 * @param text what is wrong or awaited, for operators
	 */
	set(reason: NotReadyReason, text: string): void {
		if (this.#reasons.get(reason) === text) return;
		this.#reasons.set(reason, text);
		this.#changed();
	}

	/** Does nothing if the reason is not set. */
	clear(reason: NotReadyReason): void {
		if (this.#reasons.delete(reason)) this.#changed();
	}

	/** Empty: ready. */
	get reasons(): readonly NotReady[] {
		return [...this.#reasons].map(([reason, text]) => ({ reason, text }));
	}

	/** Calls `watcher` with the current reasons, and again at each change. */
	watch(watcher: (reasons: readonly NotReady[]) => void): void {
		this.#watchers.push(watcher);
		watcher(this.reasons);
	}

	#changed(): void {
		const { reasons } = this;
		for (const watcher of this.#watchers) watcher(reasons);
	}
}

/** The reason until the counters have been collected once. */
export const firstCollection = 'first_collection' satisfies NotReadyReason;
/** The reason while the daemon stops. */
export const stopping = 'stopping' satisfies NotReadyReason;

/**
 * Logs each change, from the first time that the daemon is ready: what it waits for before that is
 * not news, and neither are changes during a stop. At most one line a minute for the same reasons,
 * where they come and go.
 */
export function logReadiness(readiness: Readiness, log: LogSink, limit = new LogLimit(log)): void {
	let ready = false;
	/** The log has a line that says not ready, and none yet that says ready again. */
	let logged = false;
	readiness.watch((reasons) => {
		if (reasons.some(({ reason }) => reason === stopping)) return;
		if (reasons.length === 0) {
			if (logged) logLine(log, logLines.readyAgain);
			ready = true;
			logged = false;
		} else if (ready) {
			const cause = reasons
				.map(({ reason }) => reason)
				.toSorted()
				.join();
			const written = limit.log(cause, logLines.notReady, { reasons: reasons.map(({ text }) => text) });
			logged ||= written;
		}
	});
}
