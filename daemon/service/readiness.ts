// SPDX-License-Identifier: Apache-2.0
/** Why the daemon is not ready: named reasons, set and cleared by the part that knows. None: it is ready. */
import { missingReasons } from '../capture/attachment_check.ts';
import type { NotReady } from '../http/ports.ts';
import { LogLimit, type LogSink, logLines, tell } from '../log_lines.ts';

/** Every reason there is, by its stable name: callers match them. docs/http.md says what each means. */
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
	/** Texts by reason; the reason that was set first comes first. */
	readonly #reasons = new Map<NotReadyReason, string>();
	readonly #listeners: ((reasons: readonly NotReady[]) => void)[] = [];

	/**
	 * Not ready from now on, until clear() with the same reason. A reason that is set again keeps its place.
	 * @param text what is wrong or awaited, for operators
	 */
	set(reason: NotReadyReason, text: string): void {
		if (this.#reasons.get(reason) === text) return;
		this.#reasons.set(reason, text);
		this.#changed();
	}

	/** Does nothing where the reason is not set. */
	clear(reason: NotReadyReason): void {
		if (this.#reasons.delete(reason)) this.#changed();
	}

	/** Empty: ready. */
	get reasons(): readonly NotReady[] {
		return [...this.#reasons].map(([reason, text]) => ({ reason, text }));
	}

	/** Calls `listener` with the reasons of now, and of each change from then on. */
	watch(listener: (reasons: readonly NotReady[]) => void): void {
		this.#listeners.push(listener);
		listener(this.reasons);
	}

	#changed(): void {
		const { reasons } = this;
		for (const listener of this.#listeners) listener(reasons);
	}
}

/** The reason that stands until the counters were read once. */
export const firstCollection = 'first_collection' satisfies NotReadyReason;
/** The reason that stands while the daemon stops. */
export const stopping = 'stopping' satisfies NotReadyReason;

/**
 * A line of the log for each change, from the first time on that it is ready: what is awaited before is no news, nor is
 * what becomes of a stop. At most one line a minute for the same reasons, where they come and go.
 */
export function logReadiness(readiness: Readiness, log: LogSink, limit = new LogLimit(log)): void {
	let ready = false;
	/** The log said that it is not ready, and not yet that it is again. */
	let told = false;
	readiness.watch((reasons) => {
		if (reasons.some(({ reason }) => reason === stopping)) return;
		if (reasons.length === 0) {
			if (told) tell(log, logLines.readyAgain);
			ready = true;
			told = false;
		} else if (ready) {
			const cause = reasons
				.map(({ reason }) => reason)
				.toSorted()
				.join();
			const said = limit.tell(cause, logLines.notReady, { reasons: reasons.map(({ text }) => text) });
			told ||= said;
		}
	});
}
