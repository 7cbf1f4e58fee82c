// SPDX-License-Identifier: Apache-2.0
/** A collection of many pages yields in between, and can fail or be aborted at any point. */
import { setImmediate as immediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { Store } from '../../../daemon/model/store.ts';
import { repeat } from '../../../daemon/service/schedule.ts';
import { KernelModel } from '../../kit/model/kernel.ts';
import { expectIdentity, expectMonotonic, labels, series } from '../../kit/model/snapshots.ts';

const limits = { maxExported: 5000, idleMs: 3_600_000 };
const yieldLoop = () => immediate();
const pages = 20;

let kernel: KernelModel;
let store: Store;

beforeEach(() => {
	kernel = new KernelModel(5000);
	kernel.pageLength = 100;
	for (let client = 0; client < pages * kernel.pageLength; client++) kernel.openAndClose(`c${client}`, BigInt(client));
	store = new Store(kernel, limits);
});

/** Counts the pages that are read from now on; `at` is called before each. */
function countReads(at: (reads: number) => void = () => {}): () => number {
	const read = kernel.readClients.bind(kernel);
	let reads = 0;
	kernel.readClients = function* () {
		for (const page of read()) {
			reads++;
			at(reads);
			yield page;
		}
	};
	return () => reads;
}

it('yields to the event loop for each page', async () => {
	const repeated = repeat(1000, async (yieldRun) => {
		await store.collect(yieldRun);
	});
	let [iterations, ended] = [0, false];
	void repeated.first.then(() => {
		ended = true;
	});
	while (!ended) {
		await immediate();
		iterations++;
	}
	await repeated.stop();
	expect(labels(store.snapshot as Snapshot)).toHaveLength(2000);
	expect(iterations).toBeGreaterThanOrEqual(pages);
});

it('replaces the snapshot at the end, and keeps the object of a series that continues', async () => {
	const first = await store.collect(yieldLoop);
	kernel.openAndClose('c7', 5n);
	const seen = new Set<Snapshot | undefined>();
	const second = await store.collect(async () => {
		seen.add(store.snapshot);
	});
	expect([...seen]).toEqual([first]);
	expect(store.snapshot).toBe(second);
	expect([series(first, 'c7'), series(second, 'c7')]).toMatchObject([
		{ traffic: { opened: 1n } },
		{ traffic: { opened: 2n } },
	]);
	expect(second.clients.length).toBe(first.clients.length);
	for (let row = 0; row < second.clients.length; row++) {
		expect(second.clients.series(row)).toBe(first.clients.series(row));
	}
});

it('waits for running programs by yielding, not by blocking', async () => {
	const { promise: gracePeriod, resolve: end } = Promise.withResolvers<void>();
	kernel.synchronize = () => gracePeriod;
	const awaited: unknown[] = [];
	const reads = countReads();
	const collecting = store.collect(async (until) => {
		awaited.push(until);
	});
	await immediate();
	// the store waits until they have ended, even if the yield returns at once
	expect([awaited, reads()]).toEqual([[gracePeriod], 0]);
	end();
	expectIdentity(await collecting);
	expect(awaited).toEqual([gracePeriod, ...Array.from({ length: awaited.length - 1 })]);
});

it('admits a thousand clients with one call to the kernel', async () => {
	const admit = kernel.admit.bind(kernel);
	const batches: number[] = [];
	kernel.admit = (admissions) => {
		batches.push(admissions.length);
		return admit(admissions);
	};
	expect(labels(await store.collect(yieldLoop))).toHaveLength(2000);
	expect(batches).toEqual([1024, 976]);
});

it('runs one collection at a time', async () => {
	const first = store.collect(yieldLoop);
	await expect(store.collect(yieldLoop)).rejects.toThrow('another collection');
	expectIdentity(await first);
	expectIdentity(await store.collect(yieldLoop));
});

describe('in the middle of the table', () => {
	it('a stop ends the collection: nothing more is read or written, and the snapshot stays', async () => {
		const before = await store.collect(yieldLoop);
		for (const client of ['c1', 'new']) kernel.openAndClose(client, 5n);
		const { promise, resolve } = Promise.withResolvers<void>();
		const reads = countReads((page) => page === 3 && resolve());
		const unexpected: unknown[] = [];
		const repeated = repeat(
			1000,
			async (yieldRun) => {
				await store.collect(yieldRun);
			},
			{ onEnd: (run) => 'error' in run && unexpected.push(run.error) },
		);
		await promise;
		await repeated.stop();
		expect(reads()).toBe(3);
		kernel.meanwhile = () => unexpected.push('the kernel was called after the end');
		await immediate();
		expect(unexpected).toEqual([]);
		expect(store.snapshot).toBe(before);

		kernel.meanwhile = () => {};
		const next = await new Store(kernel, limits).collect(yieldLoop);
		expectIdentity(next);
		expectMonotonic(before, next);
		expect(series(next, 'new')?.traffic.sentBytes).toBe(10n);
	});

	it('a failure keeps the snapshot, and the next collection finds everything', async () => {
		const before = await store.collect(yieldLoop);
		kernel.openAndClose('c1', 5n);
		kernel.openAndClose('new', 5n);
		const failure = new Error('no memory');
		let fail = true;
		countReads((page) => {
			if (fail && page === pages) throw failure;
		});
		await expect(store.collect(yieldLoop)).rejects.toBe(failure);
		expect(store.snapshot).toBe(before);
		fail = false;
		const next = await store.collect(yieldLoop);
		expectIdentity(next);
		expectMonotonic(before, next);
		expect(series(next, 'c1')?.traffic.opened).toBe(2n);
		// it was not counted in "other" yet
		expect(series(next, 'new')?.traffic.sentBytes).toBe(10n);
	});

	it('new limits apply from the next collection on', async () => {
		countReads(() => {
			store.limits = { ...limits, maxExported: 3 };
		});
		expect((await store.collect(yieldLoop)).clientsExported).toBe(2000);
		kernel.openAndClose('new', 5n);
		expect(labels(await store.collect(yieldLoop))).not.toContain('new');
	});
});
