// SPDX-License-Identifier: Apache-2.0
/** A store after another on the same kernel state: what a restart keeps, and what it gives to nobody. */
import { describe, expect, it, vi } from 'vitest';
import type { Snapshot } from '../../daemon/model/snapshot.ts';
import { noTraffic } from '../../daemon/model/traffic.ts';
import { idleMs, perTest, start } from '../fixtures/looking.ts';
import { labels, series } from '../fixtures/snapshots.ts';

perTest();

describe('another daemon on the same kernel state', () => {
	it('shows the same series, with the same start', async () => {
		const { kernel, look, again } = start({ maxExported: 2 });
		kernel.visit('x', 10n);
		const before = series(await look(), 'x');
		again();
		expect(series(await look(), 'x')).toEqual(before);
	});

	it('admits who came meanwhile with all that they did, and with nothing who was in other', async () => {
		const { kernel, look, again, limit } = start({ maxExported: 1 });
		kernel.visit('x', 1n);
		kernel.visit('y', 10n);
		await look();
		vi.advanceTimersByTime(1);
		kernel.visit('z', 100n);
		again();
		limit(3);
		const snapshot = await look();
		expect(labels(snapshot)).toEqual(['x', 'z', 'y']);
		expect(series(snapshot, 'y')?.traffic).toEqual(noTraffic);
		expect(series(snapshot, 'z')?.traffic.sentBytes).toBe(200n);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(20n);
	});

	it('remembers what an admitted client had left in other', async () => {
		const { kernel, look, again, limit } = start({ maxExported: 0 });
		kernel.visit('x', 100n);
		await look();
		kernel.visit('x', 10n);
		limit(1);
		await look();
		again();
		kernel.visit('x', 1n);
		const snapshot = await look();
		expect(series(snapshot, 'x')?.traffic.sentBytes).toBe(2n);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(220n);
	});

	it('folds the counts of a client that was retired before it was shown from a series of its own', async () => {
		const { kernel, look, again } = start({ maxExported: 2 });
		await look();
		kernel.visit('x', 10n);
		kernel.retire('x a');
		again();
		expect(series(await look(), 'x')?.traffic.sentBytes).toBe(20n);
		const snapshot = await look();
		expect(kernel.tracks('x')).toBe(false);
		expect(snapshot.listeners[0]?.folded.sentBytes).toBe(20n);
		expect(series(snapshot, 'other')?.traffic).toEqual(noTraffic);
	});

	it('folds who the one before was taking out', async () => {
		const { kernel, look, again } = start({ maxExported: 1 });
		kernel.visit('x', 10n);
		await look();
		await look(idleMs);
		again();
		const snapshot = await look();
		expect(labels(snapshot)).toEqual([]);
		expect(snapshot.listeners[0]?.folded.sentBytes).toBe(20n);
	});

	describe('where the entry of a series that has ended could not be taken out', () => {
		/** A client that was admitted with a base, and has left: its entry is still there. */
		async function leave() {
			const started = start({ maxExported: 0 });
			const { kernel, look, limit } = started;
			kernel.refuses = () => true;
			kernel.visit('x', 100n);
			await look();
			kernel.visit('x', 10n);
			limit(1);
			await look();
			await look(idleMs);
			expect(labels(await look())).toEqual([]);
			expect(kernel.readExported().size).toBe(1);
			return started;
		}

		it('the next look takes it out', async () => {
			const { kernel, look } = await leave();
			kernel.refuses = () => false;
			await look();
			expect(kernel.readExported().size).toBe(0);
		});

		it.each([
			['in a series', 1],
			['in other', 0],
		])('a client that returned %s before a restart has no base of then', async (_, maxExported) => {
			const { kernel, look, limit, again } = await leave();
			limit(maxExported);
			kernel.visit('x', 1n);
			const before = await look();
			again();
			const after = await look();
			expect(labels(after)).toEqual(maxExported === 0 ? [] : ['x']);
			for (const client of ['x', 'other']) {
				expect(series(after, client)?.traffic).toEqual(series(before, client)?.traffic);
			}
		});

		it('a client that returns after a restart begins anew, and nobody else lacks the place', async () => {
			const { kernel, look, again } = await leave();
			again();
			const began = await look();
			kernel.visit('y', 2n);
			expect(labels(await look())).toEqual(['y']);
			await look(idleMs);
			kernel.visit('x', 1n);
			const snapshot = await look();
			const x = series(snapshot, 'x');
			expect(x?.traffic).toMatchObject({ opened: 1n, sentBytes: 2n });
			expect(x?.sinceNs).toBeGreaterThan(BigInt(began.atMs) * 1_000_000n);
		});
	});

	it('takes out what no client belongs to, before one comes that it would fit', async () => {
		const { kernel, look, again } = start({ maxExported: 1 });
		kernel.visit('x', 1n);
		await look();
		kernel.admit([{ key: 'y a', exported: { base: { ...noTraffic, opened: 50n }, sinceNs: 1n } }]);
		again();
		await look();
		expect([...kernel.readExported().keys()]).toEqual(['x a']);
		await look(idleMs);
		await look();
		kernel.visit('y', 3n);
		expect(series(await look(), 'y')?.traffic).toMatchObject({ opened: 1n, sentBytes: 6n });
	});
});

describe('when counters of a listener were 0', () => {
	const sinceMs = (snapshot: Snapshot, listener: string) => {
		const of = snapshot.listeners.find((one) => one.listener === `${listener}:80`)?.sinceNs;
		return of === undefined ? undefined : Math.round(Number(of) / 1e6);
	};

	it('is known from its first look on, and to the next daemon', async () => {
		const begun = Date.now();
		const { kernel, look, again } = start({ maxExported: 2 });
		kernel.visit('x', 1n, 'a');
		const first = await look();
		kernel.visit('x', 1n, 'b');
		const second = await look();
		expect([sinceMs(second, 'a'), sinceMs(second, 'b')]).toEqual([begun, first.atMs]);
		again();
		vi.advanceTimersByTime(60_000);
		kernel.visit('x', 1n, 'c');
		const third = await look();
		// c came after the last look of the daemon before
		expect(['a', 'b', 'c'].map((one) => sinceMs(third, one))).toEqual([begun, first.atMs, second.atMs]);
		expect(series(third, 'other', 'b')).toMatchObject({ sinceNs: BigInt(first.atMs) * 1_000_000n });
		expect(series(third, 'other', 'b')?.older).toBeUndefined();
	});

	it('is not known of one that was carried over from a layout that did not note it, now and later', async () => {
		const { kernel, look, again } = start({ maxExported: 2 });
		kernel.visit('x', 1n, 'a');
		await look();
		kernel.writeListenerSince('a', 0n);
		again();
		const snapshot = await look();
		expect(sinceMs(snapshot, 'a')).toBeUndefined();
		expect(series(snapshot, 'direct')?.older).toBe(true);
		// but of those that come later it is
		kernel.visit('x', 1n, 'b');
		expect(sinceMs(await look(), 'b')).toBe(snapshot.atMs);
		again();
		const later = await look();
		expect([sinceMs(later, 'a'), sinceMs(later, 'b')]).toEqual([undefined, snapshot.atMs]);
	});

	it('is known of the first listener, also where it comes to the second daemon', async () => {
		const { kernel, look, again } = start({ maxExported: 2 });
		const before = await look();
		again();
		vi.advanceTimersByTime(60_000);
		kernel.visit('x', 1n, 'a');
		expect(sinceMs(await look(), 'a')).toBe(before.atMs);
	});
});
