// SPDX-License-Identifier: Apache-2.0
import { setTimeout as wait } from 'node:timers/promises';
import type { Vitest } from 'vitest/node';
import { processTree } from './kernel/bpf_objects.ts';
import { scaleTimeout } from './timeouts.ts';

/**
 * Closes Vitest. A test that exceeded its time limit keeps running in its worker, and a process
 * that it started keeps the worker's output open, so Vitest would wait for it forever. After
 * `limitMs`, kills all descendants of this process. Returns how many were left.
 */
export async function closeVitest(vitest: Pick<Vitest, 'close'>, limitMs = scaleTimeout(20_000)): Promise<number> {
	const closed = vitest.close().then(() => true);
	if (await Promise.race([closed, wait(limitMs, false, { ref: false })])) return 0;
	const [, ...descendants] = processTree(process.pid);
	for (const pid of descendants) {
		try {
			process.kill(pid, 'SIGKILL');
		} catch {
			// already ended
		}
	}
	return descendants.length;
}
