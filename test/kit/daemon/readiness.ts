// SPDX-License-Identifier: Apache-2.0
/** Waits for a status of `/readyz`. */
import type { Daemon } from './daemon.ts';

interface NotReady {
	readonly not_ready: readonly { readonly reason: string; readonly text: string }[];
}

/** Waits until /readyz answers with this status. Resolves with the reasons for a 503. */
export async function readiness(daemon: Daemon, status: 200 | 503): Promise<string[]> {
	for (;;) {
		const answer = await fetch(`${daemon.url}/readyz`);
		const body = await answer.text();
		if (answer.status === status) {
			return status === 200 ? [] : (JSON.parse(body) as NotReady).not_ready.map(({ reason }) => reason);
		}
		await new Promise((resolve) => setTimeout(resolve, 50));
	}
}
