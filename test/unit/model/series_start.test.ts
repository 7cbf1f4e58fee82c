// SPDX-License-Identifier: Apache-2.0
/**
 * When a client's series began: readers that take a counter as 0 at that time, such as Prometheus
 * and OTLP receivers, then see everything that the client did.
 */
import { expect, it } from 'vitest';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { idleMs, setupPerTest, start } from '../../kit/model/collection_harness.ts';
import { series } from '../../kit/model/snapshots.ts';

setupPerTest();

const sinceMs = (snapshot: Snapshot, client: string) => Number((series(snapshot, client)?.sinceNs ?? 0n) / 1_000_000n);

it('is before the first snapshot that shows it: the time of the last one that did not', async () => {
	const { kernel, collect } = start({ maxExported: 2 });
	const began = Date.now();
	kernel.openAndClose('x', 1n);
	const first = await collect();
	kernel.openAndClose('y', 1n);
	const second = await collect();
	expect([sinceMs(first, 'x'), sinceMs(second, 'y')]).toEqual([began, first.atMs]);
	expect([first.atMs > began, second.atMs > first.atMs]).toEqual([true, true]);
	expect(sinceMs(second, 'x')).toBe(began);
});

it('is after the last snapshot that shows an earlier series of the same client', async () => {
	const { kernel, collect } = start({ maxExported: 2 });
	kernel.openAndClose('x', 1n);
	await collect();
	const last = await collect(idleMs);
	expect(series(last, 'x')).toBeDefined();
	const folded = await collect();
	expect(series(folded, 'x')).toBeUndefined();
	kernel.openAndClose('x', 1n);
	expect(sinceMs(await collect(), 'x')).toBe(folded.atMs);
});

it('is when its counts began to be its own, if they were in other before: that snapshot shows 0', async () => {
	const { kernel, collect, limit } = start({ maxExported: 0 });
	kernel.openAndClose('x', 1n);
	await collect();
	limit(1);
	kernel.openAndClose('x', 1n);
	const admitted = await collect();
	expect(sinceMs(admitted, 'x')).toBe(admitted.atMs);
	expect(series(admitted, 'x')?.traffic.opened).toBe(0n);
});
