// SPDX-License-Identifier: Apache-2.0
/**
 * The store with a model of the kernel's tables: which clients get a series, count in `other`, or
 * are folded.
 */
import { describe, expect, it, vi } from 'vitest';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { Store } from '../../../daemon/model/store.ts';
import { noTraffic } from '../../../daemon/model/traffic.ts';
import { collectionMs, idleMs, setupPerTest, start, yieldLoop } from '../../kit/model/collection_harness.ts';
import { KernelModel, type Open } from '../../kit/model/kernel.ts';
import { expectIdentity, labels, series } from '../../kit/model/snapshots.ts';

setupPerTest();

describe('admission', () => {
	it('gives a new client a series with all of its counts while there is room', async () => {
		const { kernel, collect } = start({ maxExported: 2 });
		await collect();
		kernel.openAndClose('x', 100n);
		kernel.openAndClose('x', 20n);
		expect(series(await collect(), 'x')?.traffic).toEqual({
			opened: 2n,
			closed: 2n,
			receivedBytes: 130n,
			sentBytes: 240n,
			retransmittedSegments: 3n,
			rttSumNs: 840n,
			rttCount: 2n,
			durationSumNs: 2_000n,
		});
	});

	it('counts clients beyond max_exported in other', async () => {
		const { kernel, collect } = start({ maxExported: 1 });
		kernel.openAndClose('x', 1n);
		kernel.openAndClose('y', 10n);
		kernel.openAndClose('z', 100n);
		const snapshot = await collect();
		expect(labels(snapshot)).toEqual(['x']);
		expect(series(snapshot, 'other')?.traffic).toMatchObject({ opened: 2n, sentBytes: 220n });
		expect(snapshot).toMatchObject({ clientsTracked: 3, clientsExported: 1, clientsCapacity: 1000 });
	});

	it('counts clients in other that the kernel has no room for, and reports the overflow', async () => {
		const { kernel, collect } = start({ maxExported: 10, capacity: 2 });
		for (const client of ['x', 'y', 'z', 'z']) kernel.openAndClose(client, 1n);
		const snapshot = await collect();
		expect(labels(snapshot)).toEqual(['x', 'y']);
		expect(series(snapshot, 'other')?.traffic.opened).toBe(2n);
		expect(snapshot.clientsOverflowed).toBe(2n);
	});

	it('shows direct connections separately for each listener', async () => {
		const { kernel, collect } = start({ maxExported: 10 });
		kernel.openAndClose('direct', 3n);
		kernel.openAndClose('direct', 4n, 'b');
		kernel.openAndClose('x', 5n, 'b');
		const snapshot = await collect();
		expect(series(snapshot, 'direct')?.traffic.sentBytes).toBe(6n);
		expect(series(snapshot, 'direct', 'b')?.traffic.sentBytes).toBe(8n);
		expect(series(snapshot, 'x', 'b')?.traffic.sentBytes).toBe(10n);
		expect(series(snapshot, 'x')).toBeUndefined();
	});

	it('counts the traffic of an open connection', async () => {
		const { kernel, collect } = start({ maxExported: 10 });
		const connection = kernel.open('x');
		kernel.transfer(connection, 50n);
		expect(series(await collect(), 'x')?.traffic).toMatchObject({ opened: 1n, closed: 0n, sentBytes: 100n });
		kernel.close(connection);
		expect(series(await collect(), 'x')?.traffic).toMatchObject({ opened: 1n, closed: 1n, sentBytes: 100n });
	});

	it('admits the busiest client of other when there is room', async () => {
		const { kernel, collect, limit } = start({ maxExported: 1 });
		for (const client of ['x', 'quiet', 'slow', 'busy']) kernel.openAndClose(client, 1000n);
		await collect();
		limit(2);
		kernel.openAndClose('slow', 1n);
		kernel.openAndClose('busy', 30n);
		const snapshot = await collect();
		expect(labels(snapshot).toSorted()).toEqual(['busy', 'x']);
		// its earlier counts stay in "other"
		expect(series(snapshot, 'busy')?.traffic).toEqual(noTraffic);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(6062n);
		kernel.openAndClose('busy', 7n);
		const later = await collect();
		expect(series(later, 'busy')?.traffic).toMatchObject({ opened: 1n, sentBytes: 14n });
		expect(series(later, 'other')?.traffic.sentBytes).toBe(6062n);
	});

	it('admits idle clients of other while there is room, those with the most traffic first', async () => {
		const { kernel, collect, limit } = start({ maxExported: 1 });
		kernel.openAndClose('x', 1n);
		for (const [client, bytes] of [
			['little', 5n],
			['much', 500n],
			['some', 50n],
		] as const)
			kernel.openAndClose(client, bytes);
		const before = series(await collect(), 'other')?.traffic;
		limit(2);
		expect(labels(await collect())).toEqual(['x', 'much']);
		limit(10);
		const snapshot = await collect();
		expect(labels(snapshot)).toEqual(['x', 'much', 'some', 'little']);
		expect(series(snapshot, 'little')?.traffic).toEqual(noTraffic);
		expect(series(snapshot, 'other')?.traffic).toEqual(before);
	});

	it('does not admit a client of other that is being folded', async () => {
		const { kernel, collect, limit } = start({ maxExported: 1 });
		kernel.open('x');
		kernel.openAndClose('y', 1n);
		await collect();
		limit(2);
		const snapshot = await collect(idleMs);
		expect(labels(snapshot)).toEqual(['x']);
		await collect();
		expect(kernel.tracks('y')).toBe(false);
	});

	it('counts open connections where their client is shown, even those opened before its series', async () => {
		const { kernel, collect } = start({ maxExported: 1 });
		kernel.openAndClose('x', 1n);
		const open = kernel.open('y');
		const gauges = (snapshot: Snapshot) => ['x', 'y', 'other'].map((client) => series(snapshot, client)?.active);
		expect(gauges(await collect())).toEqual([0, undefined, 1]);
		expect(gauges(await collect(idleMs))).toEqual([0, undefined, 1]);
		expect(gauges(await collect())).toEqual([undefined, 1, 0]);
		kernel.close(open);
		expect(gauges(await collect())).toEqual([undefined, 0, 0]);
		await collect(idleMs);
		expect(gauges(await collect())).toEqual([undefined, undefined, 0]);
	});

	it('ends no series when max_exported is lowered', async () => {
		const { kernel, collect, limit } = start({ maxExported: 2 });
		kernel.openAndClose('x', 1n);
		kernel.openAndClose('y', 1n);
		await collect();
		limit(1);
		kernel.openAndClose('z', 1n);
		expect(labels(await collect())).toEqual(['x', 'y']);
	});

	it.each([
		['the same daemon', false],
		['the next daemon', true],
	])(
		'leaves a client that arrives during a collection to the next collection, wherever its slot is: %s',
		async (_, restart) => {
			const kernel = new KernelModel();
			const limits = { maxExported: 3, idleMs };
			kernel.pageLength = 1;
			kernel.openAndClose('x', 1n);
			kernel.openAndClose('y', 1n);
			let store = new Store(kernel, limits);
			const begun = await store.collect(async () => {
				// before the page that is read next, and after all of them
				for (const [client, bucket] of [
					['early', 0],
					['late', 9],
				] as const) {
					kernel.bucketOf = () => bucket;
					if (!kernel.tracks(client)) kernel.openAndClose(client, 9n);
				}
			});
			expect(labels(begun)).toEqual(['x', 'y']);
			expect(series(begun, 'other')?.traffic).toEqual(noTraffic);
			if (restart) store = new Store(kernel, limits);
			const snapshot = await store.collect(yieldLoop);
			expectIdentity(snapshot);
			// there is no room for one of them
			expect(labels(snapshot)).toEqual(['x', 'y', 'early']);
			expect(series(snapshot, 'early')?.traffic.sentBytes).toBe(18n);
			expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(18n);
		},
	);

	it('gives a client that arrived during a collection all of its counts in the next one', async () => {
		const kernel = new KernelModel();
		const store = new Store(kernel, { maxExported: 5, idleMs });
		kernel.openAndClose('x', 1n);
		await store.collect(yieldLoop);
		// in a bucket that has already been read
		kernel.bucketOf = () => 0;
		const collecting = store.collect(async () => {
			if (!kernel.tracks('late')) kernel.openAndClose('late', 9n);
			vi.advanceTimersByTime(1);
		});
		expect(series(await collecting, 'late')).toBeUndefined();
		vi.advanceTimersByTime(collectionMs);
		const snapshot = await store.collect(yieldLoop);
		expect(series(snapshot, 'late')?.traffic).toMatchObject({ opened: 1n, sentBytes: 18n });
		expectIdentity(snapshot);
	});
});

describe('folding', () => {
	it('ends the series of an idle client two collections later, and adds it to folded, not to other', async () => {
		const { kernel, collect } = start({ maxExported: 2 });
		kernel.openAndClose('x', 100n);
		const shown = series(await collect(), 'x')?.traffic;
		expect(labels(await collect(idleMs))).toEqual(['x']);
		const snapshot = await collect();
		expect(labels(snapshot)).toEqual([]);
		expect(snapshot.listeners[0]?.folded).toEqual(shown);
		expect(series(snapshot, 'other')?.traffic).toEqual(noTraffic);
		expect(snapshot).toMatchObject({ clientsFolded: 1n, clientsTracked: 0, clientsExported: 0 });
		expect(kernel.tracks('x')).toBe(false);
	});

	it('does not fold a client with an open connection or traffic', async () => {
		const { kernel, collect } = start({ maxExported: 5 });
		kernel.open('open');
		kernel.openAndClose('active', 1n);
		await collect();
		for (let i = 0; i < 5; i++) {
			kernel.openAndClose('active', 1n);
			await collect(idleMs - 1);
		}
		expect(labels(await collect()).toSorted()).toEqual(['active', 'open']);
	});

	it('leaves the counts of a folded client without a series in other', async () => {
		const { kernel, collect } = start({ maxExported: 0 });
		kernel.openAndClose('x', 100n);
		await collect();
		await collect(idleMs);
		const snapshot = await collect();
		expect(kernel.tracks('x')).toBe(false);
		expect(snapshot.listeners[0]?.folded).toEqual(noTraffic);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(200n);
	});

	it('splits a client that was admitted from other: its earlier counts stay there', async () => {
		const { kernel, collect, limit } = start({ maxExported: 0 });
		kernel.openAndClose('x', 100n);
		await collect();
		kernel.openAndClose('x', 10n);
		limit(1);
		expect(series(await collect(), 'x')?.traffic).toEqual(noTraffic);
		kernel.openAndClose('x', 1n);
		await collect();
		await collect(idleMs);
		const snapshot = await collect();
		expect(snapshot.listeners[0]?.folded).toMatchObject({ opened: 1n, sentBytes: 2n });
		expect(series(snapshot, 'other')?.traffic).toMatchObject({ opened: 2n, sentBytes: 220n });
	});

	it('starts the series of a returning client from 0, at a new time', async () => {
		const { kernel, collect } = start({ maxExported: 2 });
		kernel.openAndClose('x', 100n);
		const first = series(await collect(), 'x');
		await collect(idleMs);
		await collect();
		kernel.openAndClose('x', 1n);
		const second = series(await collect(), 'x');
		expect(second?.traffic).toMatchObject({ opened: 1n, sentBytes: 2n });
		expect(second?.sinceNs).toBeGreaterThan(first?.sinceNs ?? 0n);
	});

	it('counts a client in other if it returns while it is being folded', async () => {
		const { kernel, collect } = start({ maxExported: 2 });
		kernel.openAndClose('x', 100n);
		await collect();
		await collect(idleMs);
		const connection = kernel.open('x');
		kernel.transfer(connection, 3n);
		const snapshot = await collect();
		expect(labels(snapshot)).toEqual([]);
		expect(series(snapshot, 'other')?.traffic).toMatchObject({ opened: 1n, closed: 0n, sentBytes: 6n });
		kernel.close(connection);
		expect(series(await collect(), 'other')?.traffic).toMatchObject({ opened: 1n, closed: 1n });
	});

	it.each([
		['a series', 1, 'x'],
		['other', 0, 'other'],
	])('keeps a client in %s that a running program counts for after all', async (_, maxExported, shownAs) => {
		const { kernel, collect } = start({ maxExported });
		let opened: Open | undefined;
		kernel.openAndClose('x', 100n);
		await collect();
		const read = kernel.readClients.bind(kernel);
		// the program has found the entry, and counts there after it has been retired
		kernel.readClients = () => {
			kernel.readClients = read;
			kernel.beginToOpen((connection) => (opened = connection), 'x');
			return read();
		};
		await collect(idleMs);
		expect(opened).toBeUndefined();
		await collect();
		kernel.close(opened as Open);
		const snapshot = await collect(0);
		expect(snapshot.clientsFolded).toBe(0n);
		expect(series(snapshot, shownAs)?.traffic).toMatchObject({ opened: 2n, closed: 2n });
	});

	it('admits the busiest client of other when a series ends', async () => {
		const { kernel, collect } = start({ maxExported: 1 });
		kernel.openAndClose('x', 1n);
		kernel.openAndClose('y', 1n);
		kernel.openAndClose('z', 1n);
		await collect();
		const held = ['y', 'z'].map((client) => kernel.open(client));
		await collect(idleMs);
		held.forEach((connection, index) => {
			kernel.transfer(connection, BigInt(index + 1));
		});
		expect(labels(await collect())).toEqual(['z']);
	});

	it('waits for programs that found a client before it was retired', async () => {
		const { kernel, collect } = start({ maxExported: 2 });
		kernel.openAndClose('x', 1n);
		await collect();
		kernel.beginToOpen(() => {}, 'x');
		kernel.beginToOpen(() => {}, 'y');
		await collect(idleMs);
		const snapshot = await collect();
		expect(snapshot.clientsFolded).toBe(0n);
		expect(series(snapshot, 'x')?.traffic).toMatchObject({ opened: 2n });
		expect(series(snapshot, 'y')?.traffic).toMatchObject({ opened: 1n });
	});
});
