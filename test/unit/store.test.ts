// SPDX-License-Identifier: Apache-2.0
/** The store over a model of the kernel's tables: who gets a series, who is `other`, who is folded. */
import { describe, expect, it, vi } from 'vitest';
import type { Snapshot } from '../../daemon/model/snapshot.ts';
import { Store } from '../../daemon/model/store.ts';
import { noTraffic } from '../../daemon/model/traffic.ts';
import { Kernel, type Open } from '../fixtures/kernel.ts';
import { idleMs, lookMs, nextTurn, perTest, start } from '../fixtures/looking.ts';
import { expectIdentity, labels, series } from '../fixtures/snapshots.ts';

perTest();

describe('admission', () => {
	it('gives a client that finds a free place a series with all that it did', async () => {
		const { kernel, look } = start({ maxExported: 2 });
		await look();
		kernel.visit('x', 100n);
		kernel.visit('x', 20n);
		expect(series(await look(), 'x')?.traffic).toEqual({
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

	it('puts those beyond max_exported into other', async () => {
		const { kernel, look } = start({ maxExported: 1 });
		kernel.visit('x', 1n);
		kernel.visit('y', 10n);
		kernel.visit('z', 100n);
		const snapshot = await look();
		expect(labels(snapshot)).toEqual(['x']);
		expect(series(snapshot, 'other')?.traffic).toMatchObject({ opened: 2n, sentBytes: 220n });
		expect(snapshot).toMatchObject({ clientsTracked: 3, clientsExported: 1, clientsCapacity: 1000 });
	});

	it('puts those that the kernel has no room for into other, and says so', async () => {
		const { kernel, look } = start({ maxExported: 10, capacity: 2 });
		for (const client of ['x', 'y', 'z', 'z']) kernel.visit(client, 1n);
		const snapshot = await look();
		expect(labels(snapshot)).toEqual(['x', 'y']);
		expect(series(snapshot, 'other')?.traffic.opened).toBe(2n);
		expect(snapshot.clientsOverflowed).toBe(2n);
	});

	it('shows direct connections apart, for each listener', async () => {
		const { kernel, look } = start({ maxExported: 10 });
		kernel.visit('direct', 3n);
		kernel.visit('direct', 4n, 'b');
		kernel.visit('x', 5n, 'b');
		const snapshot = await look();
		expect(series(snapshot, 'direct')?.traffic.sentBytes).toBe(6n);
		expect(series(snapshot, 'direct', 'b')?.traffic.sentBytes).toBe(8n);
		expect(series(snapshot, 'x', 'b')?.traffic.sentBytes).toBe(10n);
		expect(series(snapshot, 'x')).toBeUndefined();
	});

	it('counts what an open connection has done so far', async () => {
		const { kernel, look } = start({ maxExported: 10 });
		const connection = kernel.open('x');
		kernel.transfer(connection, 50n);
		expect(series(await look(), 'x')?.traffic).toMatchObject({ opened: 1n, closed: 0n, sentBytes: 100n });
		kernel.close(connection);
		expect(series(await look(), 'x')?.traffic).toMatchObject({ opened: 1n, closed: 1n, sentBytes: 100n });
	});

	it('admits the busiest of other when a place falls free', async () => {
		const { kernel, look, limit } = start({ maxExported: 1 });
		for (const client of ['x', 'quiet', 'slow', 'busy']) kernel.visit(client, 1000n);
		await look();
		limit(2);
		kernel.visit('slow', 1n);
		kernel.visit('busy', 30n);
		const snapshot = await look();
		expect(labels(snapshot).toSorted()).toEqual(['busy', 'x']);
		// what it did before stays in "other"
		expect(series(snapshot, 'busy')?.traffic).toEqual(noTraffic);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(6062n);
		kernel.visit('busy', 7n);
		const later = await look();
		expect(series(later, 'busy')?.traffic).toMatchObject({ opened: 1n, sentBytes: 14n });
		expect(series(later, 'other')?.traffic.sentBytes).toBe(6062n);
	});

	it('admits those of other that do nothing where there is a place, the ones first that have done most', async () => {
		const { kernel, look, limit } = start({ maxExported: 1 });
		kernel.visit('x', 1n);
		for (const [client, bytes] of [
			['little', 5n],
			['much', 500n],
			['some', 50n],
		] as const)
			kernel.visit(client, bytes);
		const before = series(await look(), 'other')?.traffic;
		limit(2);
		expect(labels(await look())).toEqual(['x', 'much']);
		limit(10);
		const snapshot = await look();
		expect(labels(snapshot)).toEqual(['x', 'much', 'some', 'little']);
		expect(series(snapshot, 'little')?.traffic).toEqual(noTraffic);
		expect(series(snapshot, 'other')?.traffic).toEqual(before);
	});

	it('admits nobody from other that is just being taken out', async () => {
		const { kernel, look, limit } = start({ maxExported: 1 });
		kernel.open('x');
		kernel.visit('y', 1n);
		await look();
		limit(2);
		const snapshot = await look(idleMs);
		expect(labels(snapshot)).toEqual(['x']);
		await look();
		expect(kernel.tracks('y')).toBe(false);
	});

	it('shows open connections where their client is, also those from before its series', async () => {
		const { kernel, look } = start({ maxExported: 1 });
		kernel.visit('x', 1n);
		const open = kernel.open('y');
		const gauges = (snapshot: Snapshot) => ['x', 'y', 'other'].map((client) => series(snapshot, client)?.active);
		expect(gauges(await look())).toEqual([0, undefined, 1]);
		expect(gauges(await look(idleMs))).toEqual([0, undefined, 1]);
		expect(gauges(await look())).toEqual([undefined, 1, 0]);
		kernel.close(open);
		expect(gauges(await look())).toEqual([undefined, 0, 0]);
		await look(idleMs);
		expect(gauges(await look())).toEqual([undefined, undefined, 0]);
	});

	it('ends no series when max_exported is lowered', async () => {
		const { kernel, look, limit } = start({ maxExported: 2 });
		kernel.visit('x', 1n);
		kernel.visit('y', 1n);
		await look();
		limit(1);
		kernel.visit('z', 1n);
		expect(labels(await look())).toEqual(['x', 'y']);
	});

	it.each([
		['the same daemon', false],
		['the next daemon', true],
	])(
		'leaves a client that comes when a look has begun to the next one, wherever its place is: %s',
		async (_, restart) => {
			const kernel = new Kernel();
			const limits = { maxExported: 3, idleMs };
			kernel.pageLength = 1;
			kernel.visit('x', 1n);
			kernel.visit('y', 1n);
			let store = new Store(kernel, limits);
			const begun = await store.look(async () => {
				// before the page that is read next, and behind all of them
				for (const [client, bucket] of [
					['early', 0],
					['late', 9],
				] as const) {
					kernel.bucketOf = () => bucket;
					if (!kernel.tracks(client)) kernel.visit(client, 9n);
				}
			});
			expect(labels(begun)).toEqual(['x', 'y']);
			expect(series(begun, 'other')?.traffic).toEqual(noTraffic);
			if (restart) store = new Store(kernel, limits);
			const snapshot = await store.look(nextTurn);
			expectIdentity(snapshot);
			// one of them finds no place
			expect(labels(snapshot)).toEqual(['x', 'y', 'early']);
			expect(series(snapshot, 'early')?.traffic.sentBytes).toBe(18n);
			expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(18n);
		},
	);

	it('gives a client that came while the store looked its whole history at the next look', async () => {
		const kernel = new Kernel();
		const store = new Store(kernel, { maxExported: 5, idleMs });
		kernel.visit('x', 1n);
		await store.look(nextTurn);
		// among those that have been read
		kernel.bucketOf = () => 0;
		const looked = store.look(async () => {
			if (!kernel.tracks('late')) kernel.visit('late', 9n);
			vi.advanceTimersByTime(1);
		});
		expect(series(await looked, 'late')).toBeUndefined();
		vi.advanceTimersByTime(lookMs);
		const snapshot = await store.look(nextTurn);
		expect(series(snapshot, 'late')?.traffic).toMatchObject({ opened: 1n, sentBytes: 18n });
		expectIdentity(snapshot);
	});
});

describe('folding', () => {
	it('ends the series of an idle client two looks on, and adds it to folded, never to other', async () => {
		const { kernel, look } = start({ maxExported: 2 });
		kernel.visit('x', 100n);
		const shown = series(await look(), 'x')?.traffic;
		expect(labels(await look(idleMs))).toEqual(['x']);
		const snapshot = await look();
		expect(labels(snapshot)).toEqual([]);
		expect(snapshot.listeners[0]?.folded).toEqual(shown);
		expect(series(snapshot, 'other')?.traffic).toEqual(noTraffic);
		expect(snapshot).toMatchObject({ clientsFolded: 1n, clientsTracked: 0, clientsExported: 0 });
		expect(kernel.tracks('x')).toBe(false);
	});

	it('leaves alone who has an open connection or traffic', async () => {
		const { kernel, look } = start({ maxExported: 5 });
		kernel.open('open');
		kernel.visit('active', 1n);
		await look();
		for (let i = 0; i < 5; i++) {
			kernel.visit('active', 1n);
			await look(idleMs - 1);
		}
		expect(labels(await look()).toSorted()).toEqual(['active', 'open']);
	});

	it('leaves in other what it was in, also of a client without a series', async () => {
		const { kernel, look } = start({ maxExported: 0 });
		kernel.visit('x', 100n);
		await look();
		await look(idleMs);
		const snapshot = await look();
		expect(kernel.tracks('x')).toBe(false);
		expect(snapshot.listeners[0]?.folded).toEqual(noTraffic);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(200n);
	});

	it('splits a client that was admitted from other: its past stays there', async () => {
		const { kernel, look, limit } = start({ maxExported: 0 });
		kernel.visit('x', 100n);
		await look();
		kernel.visit('x', 10n);
		limit(1);
		expect(series(await look(), 'x')?.traffic).toEqual(noTraffic);
		kernel.visit('x', 1n);
		await look();
		await look(idleMs);
		const snapshot = await look();
		expect(snapshot.listeners[0]?.folded).toMatchObject({ opened: 1n, sentBytes: 2n });
		expect(series(snapshot, 'other')?.traffic).toMatchObject({ opened: 2n, sentBytes: 220n });
	});

	it('starts a client that returns from 0, at a new time', async () => {
		const { kernel, look } = start({ maxExported: 2 });
		kernel.visit('x', 100n);
		const first = series(await look(), 'x');
		await look(idleMs);
		await look();
		kernel.visit('x', 1n);
		const second = series(await look(), 'x');
		expect(second?.traffic).toMatchObject({ opened: 1n, sentBytes: 2n });
		expect(second?.sinceNs).toBeGreaterThan(first?.sinceNs ?? 0n);
	});

	it('counts a client in other that returns while it is being taken out', async () => {
		const { kernel, look } = start({ maxExported: 2 });
		kernel.visit('x', 100n);
		await look();
		await look(idleMs);
		const connection = kernel.open('x');
		kernel.transfer(connection, 3n);
		const snapshot = await look();
		expect(labels(snapshot)).toEqual([]);
		expect(series(snapshot, 'other')?.traffic).toMatchObject({ opened: 1n, closed: 0n, sentBytes: 6n });
		kernel.close(connection);
		expect(series(await look(), 'other')?.traffic).toMatchObject({ opened: 1n, closed: 1n });
	});

	it.each([
		['a series', 1, 'x'],
		['other', 0, 'other'],
	])('goes on in %s with a client that a program counts for after all', async (_, maxExported, shownAs) => {
		const { kernel, look } = start({ maxExported });
		let opened: Open | undefined;
		kernel.visit('x', 100n);
		await look();
		const read = kernel.readClients.bind(kernel);
		// it has found the entry, and counts there when it has been retired
		kernel.readClients = () => {
			kernel.readClients = read;
			kernel.beginToOpen((connection) => (opened = connection), 'x');
			return read();
		};
		await look(idleMs);
		expect(opened).toBeUndefined();
		await look();
		kernel.close(opened as Open);
		const snapshot = await look(0);
		expect(snapshot.clientsFolded).toBe(0n);
		expect(series(snapshot, shownAs)?.traffic).toMatchObject({ opened: 2n, closed: 2n });
	});

	it('gives the place that falls free to the busiest in other', async () => {
		const { kernel, look } = start({ maxExported: 1 });
		kernel.visit('x', 1n);
		kernel.visit('y', 1n);
		kernel.visit('z', 1n);
		await look();
		const held = ['y', 'z'].map((client) => kernel.open(client));
		await look(idleMs);
		held.forEach((connection, index) => {
			kernel.transfer(connection, BigInt(index + 1));
		});
		expect(labels(await look())).toEqual(['z']);
	});

	it('waits for programs that have taken hold of a client before it was retired', async () => {
		const { kernel, look } = start({ maxExported: 2 });
		kernel.visit('x', 1n);
		await look();
		kernel.beginToOpen(() => {}, 'x');
		kernel.beginToOpen(() => {}, 'y');
		await look(idleMs);
		const snapshot = await look();
		expect(snapshot.clientsFolded).toBe(0n);
		expect(series(snapshot, 'x')?.traffic).toMatchObject({ opened: 2n });
		expect(series(snapshot, 'y')?.traffic).toMatchObject({ opened: 1n });
	});
});
