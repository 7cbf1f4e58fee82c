// SPDX-License-Identifier: Apache-2.0
/** A store that collects from a model of the kernel's tables. Every collection is checked. */
import { afterEach, beforeEach, vi } from 'vitest';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { Store } from '../../../daemon/model/store.ts';
import { KernelModel } from './kernel.ts';
import { expectIdentity, expectMonotonic } from './snapshots.ts';

export const collectionMs = 1000;
export const idleMs = 10_000;

/**
 * Call once per test file. Each test gets a clock of its own, which the model of the kernel uses,
 * too.
 */
export function setupPerTest(): void {
	beforeEach(() => {
		vi.useFakeTimers({ toFake: ['Date'], now: 1_760_000_000_000 });
	});

	afterEach(() => {
		vi.useRealTimers();
	});
}

export const yieldLoop = () => Promise.resolve();

/**
 * Starts a store, and checks every collection, at rest; `again()` starts another store on the same
 * kernel state.
 */
export function start(limits: { maxExported: number; capacity?: number }) {
	const kernel = new KernelModel(limits.capacity);
	let settings = { maxExported: limits.maxExported, idleMs };
	let store = new Store(kernel, settings);
	let last: Snapshot | undefined;
	return {
		kernel,
		async collect(afterMs = collectionMs): Promise<Snapshot> {
			vi.advanceTimersByTime(afterMs);
			const snapshot = await store.collect(yieldLoop);
			expectIdentity(snapshot);
			if (last !== undefined) expectMonotonic(last, snapshot);
			last = snapshot;
			return snapshot;
		},
		again(): void {
			store = new Store(kernel, settings);
		},
		limit(maxExported: number): void {
			settings = { maxExported, idleMs };
			store.limits = settings;
		},
	};
}
