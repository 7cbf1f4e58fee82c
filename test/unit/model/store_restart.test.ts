// SPDX-License-Identifier: Apache-2.0
/** A store on another's kernel state: what a restart keeps, and what no client inherits. */
import { describe, expect, it, vi } from 'vitest';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { noTraffic } from '../../../daemon/model/traffic.ts';
import { idleMs, setupPerTest, start } from '../../kit/model/collection_harness.ts';
import { labels, series } from '../../kit/model/snapshots.ts';

setupPerTest();

describe('another daemon on the same kernel state', () => {
	it('shows the same series, with the same start', async () => {
		const { kernel, collect, again } = start({ maxExported: 2 });
		kernel.openAndClose('x', 10n);
		const before = series(await collect(), 'x');
		again();
		expect(series(await collect(), 'x')).toEqual(before);
	});

	it('admits clients that arrived in between with all of their counts, and those of other with none', async () => {
		const { kernel, collect, again, limit } = start({ maxExported: 1 });
		kernel.openAndClose('x', 1n);
		kernel.openAndClose('y', 10n);
		await collect();
		vi.advanceTimersByTime(1);
		kernel.openAndClose('z', 100n);
		again();
		limit(3);
		const snapshot = await collect();
		expect(labels(snapshot)).toEqual(['x', 'z', 'y']);
		expect(series(snapshot, 'y')?.traffic).toEqual(noTraffic);
		expect(series(snapshot, 'z')?.traffic.sentBytes).toBe(200n);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(20n);
	});

	it('remembers what an admitted client had left in other', async () => {
		const { kernel, collect, again, limit } = start({ maxExported: 0 });
		kernel.openAndClose('x', 100n);
		await collect();
		kernel.openAndClose('x', 10n);
		limit(1);
		await collect();
		again();
		kernel.openAndClose('x', 1n);
		const snapshot = await collect();
		expect(series(snapshot, 'x')?.traffic.sentBytes).toBe(2n);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(220n);
	});

	it('folds the counts of a client that was retired before it had a series, after showing them in one', async () => {
		const { kernel, collect, again } = start({ maxExported: 2 });
		await collect();
		kernel.openAndClose('x', 10n);
		kernel.retire('x a');
		again();
		expect(series(await collect(), 'x')?.traffic.sentBytes).toBe(20n);
		const snapshot = await collect();
		expect(kernel.tracks('x')).toBe(false);
		expect(snapshot.listeners[0]?.folded.sentBytes).toBe(20n);
		expect(series(snapshot, 'other')?.traffic).toEqual(noTraffic);
	});

	it('folds a client that the previous daemon had retired', async () => {
		const { kernel, collect, again } = start({ maxExported: 1 });
		kernel.openAndClose('x', 10n);
		await collect();
		await collect(idleMs);
		again();
		const snapshot = await collect();
		expect(labels(snapshot)).toEqual([]);
		expect(snapshot.listeners[0]?.folded.sentBytes).toBe(20n);
	});

	describe('where the entry of an ended series could not be deleted', () => {
		/** Admits a client with a base, and folds it: its entry remains. */
		async function foldWithLeftover() {
			const started = start({ maxExported: 0 });
			const { kernel, collect, limit } = started;
			kernel.refusesDeletion = () => true;
			kernel.openAndClose('x', 100n);
			await collect();
			kernel.openAndClose('x', 10n);
			limit(1);
			await collect();
			await collect(idleMs);
			expect(labels(await collect())).toEqual([]);
			expect(kernel.readExported().size).toBe(1);
			return started;
		}

		it('the next collection deletes it', async () => {
			const { kernel, collect } = await foldWithLeftover();
			kernel.refusesDeletion = () => false;
			await collect();
			expect(kernel.readExported().size).toBe(0);
		});

		it.each([
			['in a series', 1],
			['in other', 0],
		])('a client that returned %s before a restart does not get the old base', async (_, maxExported) => {
			const { kernel, collect, limit, again } = await foldWithLeftover();
			limit(maxExported);
			kernel.openAndClose('x', 1n);
			const before = await collect();
			again();
			const after = await collect();
			expect(labels(after)).toEqual(maxExported === 0 ? [] : ['x']);
			for (const client of ['x', 'other']) {
				expect(series(after, client)?.traffic).toEqual(series(before, client)?.traffic);
			}
		});

		it('a client that returns after a restart begins anew, and no other client is kept out', async () => {
			const { kernel, collect, again } = await foldWithLeftover();
			again();
			const began = await collect();
			kernel.openAndClose('y', 2n);
			expect(labels(await collect())).toEqual(['y']);
			await collect(idleMs);
			kernel.openAndClose('x', 1n);
			const snapshot = await collect();
			const x = series(snapshot, 'x');
			expect(x?.traffic).toMatchObject({ opened: 1n, sentBytes: 2n });
			expect(x?.sinceNs).toBeGreaterThan(BigInt(began.atMs) * 1_000_000n);
		});
	});

	it('deletes an entry without a client, before a client with its key arrives', async () => {
		const { kernel, collect, again } = start({ maxExported: 1 });
		kernel.openAndClose('x', 1n);
		await collect();
		kernel.admit([{ key: 'y a', exported: { base: { ...noTraffic, opened: 50n }, sinceNs: 1n } }]);
		again();
		await collect();
		expect([...kernel.readExported().keys()]).toEqual(['x a']);
		await collect(idleMs);
		await collect();
		kernel.openAndClose('y', 3n);
		expect(series(await collect(), 'y')?.traffic).toMatchObject({ opened: 1n, sentBytes: 6n });
	});
});

describe('the start time of the counters of a listener', () => {
	const sinceMs = (snapshot: Snapshot, listener: string) => {
		const sinceNs = snapshot.listeners.find((one) => one.listener === `${listener}:80`)?.sinceNs;
		return sinceNs === undefined ? undefined : Math.round(Number(sinceNs) / 1e6);
	};

	it('is known from its first collection on, and to the next daemon', async () => {
		const began = Date.now();
		const { kernel, collect, again } = start({ maxExported: 2 });
		kernel.openAndClose('x', 1n, 'a');
		const first = await collect();
		kernel.openAndClose('x', 1n, 'b');
		const second = await collect();
		expect([sinceMs(second, 'a'), sinceMs(second, 'b')]).toEqual([began, first.atMs]);
		again();
		vi.advanceTimersByTime(60_000);
		kernel.openAndClose('x', 1n, 'c');
		const third = await collect();
		// c arrived after the last collection of the previous daemon
		expect(['a', 'b', 'c'].map((one) => sinceMs(third, one))).toEqual([began, first.atMs, second.atMs]);
		expect(series(third, 'other', 'b')).toMatchObject({ sinceNs: BigInt(first.atMs) * 1_000_000n });
		expect(series(third, 'other', 'b')?.sinceUnknown).toBeUndefined();
	});

	it('stays unknown for one that was migrated from a layout that did not record it', async () => {
		const { kernel, collect, again } = start({ maxExported: 2 });
		kernel.openAndClose('x', 1n, 'a');
		await collect();
		kernel.writeListenerSince('a', 0n);
		again();
		const snapshot = await collect();
		expect(sinceMs(snapshot, 'a')).toBeUndefined();
		expect(series(snapshot, 'direct')?.sinceUnknown).toBe(true);
		// but it is known for listeners that arrive later
		kernel.openAndClose('x', 1n, 'b');
		expect(sinceMs(await collect(), 'b')).toBe(snapshot.atMs);
		again();
		const later = await collect();
		expect([sinceMs(later, 'a'), sinceMs(later, 'b')]).toEqual([undefined, snapshot.atMs]);
	});

	it('is known for the first listener, even if it arrives at the second daemon', async () => {
		const { kernel, collect, again } = start({ maxExported: 2 });
		const before = await collect();
		again();
		vi.advanceTimersByTime(60_000);
		kernel.openAndClose('x', 1n, 'a');
		expect(sinceMs(await collect(), 'a')).toBe(before.atMs);
	});
});
