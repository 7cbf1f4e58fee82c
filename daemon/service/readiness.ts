// SPDX-License-Identifier: Apache-2.0
/** Why the daemon is not ready: named reasons, set and cleared by the part that knows. None: it is ready. */
import type { NotReady } from '../http/ports.ts';

export class Readiness {
	/** Texts by reason; the reason that was set first comes first. */
	readonly #reasons = new Map<string, string>();

	/**
	 * Not ready from now on, until clear() with the same reason. A reason that is set again keeps its place.
	 * @param reason snake_case, stable: callers match it
	 * @param text what is wrong or awaited, for operators
	 */
	set(reason: string, text: string): void {
		this.#reasons.set(reason, text);
	}

	/** Does nothing where the reason is not set. */
	clear(reason: string): void {
		this.#reasons.delete(reason);
	}

	/** Empty: ready. */
	get reasons(): readonly NotReady[] {
		return [...this.#reasons].map(([reason, text]) => ({ reason, text }));
	}
}
