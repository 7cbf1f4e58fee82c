// SPDX-License-Identifier: Apache-2.0
/** A look at a table of many pages: others have their turn meanwhile, and it can fail or be given up anywhere. */
import { setImmediate as immediate } from 'node:timers/promises';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Snapshot } from '../../daemon/model/snapshot.ts';
import { Store } from '../../daemon/model/store.ts';
import { repeat } from '../../daemon/service/schedule.ts';
import { Kernel } from '../fixtures/kernel.ts';
import { expectIdentity, expectMonotonic, labels, series } from '../fixtures/snapshots.ts';

const limits = { maxExported: 5000, idleMs: 3_600_000 };
const nextTurn = () => immediate();
const pages = 20;

let kernel: Kernel;
let store: Store;

beforeEach(() => {
	kernel = new Kernel(5000);
	kernel.pageLength = 100;
	for (let client = 0; client < pages * kernel.pageLength; client++) kernel.visit(`c${client}`, BigInt(client));
	store = new Store(kernel, limits);
});

/** Pages read from now on; `at` is called before each. */
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

it('the event loop turns once for each page', async () => {
	const repeated = repeat(1000, async (turn) => {
		await store.look(turn);
	});
	let [turns, ended] = [0, false];
	void repeated.first.then(() => {
		ended = true;
	});
	while (!ended) {
		await immediate();
		turns++;
	}
	await repeated.stop();
	expect(labels(store.snapshot as Snapshot)).toHaveLength(2000);
	expect(turns).toBeGreaterThanOrEqual(pages);
});

it('the snapshot is replaced at the end, and a series that goes on is the same object', async () => {
	const first = await store.look(nextTurn);
	kernel.visit('c7', 5n);
	const seen = new Set<Snapshot | undefined>();
	const second = await store.look(async () => {
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

it('waits for the programs that run in a turn of others, not in its own', async () => {
	const { promise: over, resolve: end } = Promise.withResolvers<void>();
	kernel.runsOver = () => over;
	const given: unknown[] = [];
	const reads = countReads();
	const looked = store.look(async (until) => {
		given.push(until);
	});
	await immediate();
	// and for as long as they run, also where a turn is over at once
	expect([given, reads()]).toEqual([[over], 0]);
	end();
	expectIdentity(await looked);
	expect(given).toEqual([over, ...Array.from({ length: given.length - 1 })]);
});

it('admits a thousand clients with one call into the kernel', async () => {
	const admit = kernel.admit.bind(kernel);
	const batches: number[] = [];
	kernel.admit = (admissions) => {
		batches.push(admissions.length);
		return admit(admissions);
	};
	expect(labels(await store.look(nextTurn))).toHaveLength(2000);
	expect(batches).toEqual([1024, 976]);
});

it('one look at a time', async () => {
	const look = store.look(nextTurn);
	await expect(store.look(nextTurn)).rejects.toThrow('another look');
	expectIdentity(await look);
	expectIdentity(await store.look(nextTurn));
});

describe('in the middle of the table', () => {
	it('a stop ends it: nothing more is read or written, what was shown stays', async () => {
		const before = await store.look(nextTurn);
		for (const client of ['c1', 'new']) kernel.visit(client, 5n);
		const { promise, resolve } = Promise.withResolvers<void>();
		const reads = countReads((page) => page === 3 && resolve());
		const told: unknown[] = [];
		const repeated = repeat(
			1000,
			async (turn) => {
				await store.look(turn);
			},
			{ onEnd: (run) => 'error' in run && told.push(run.error) },
		);
		await promise;
		await repeated.stop();
		expect(reads()).toBe(3);
		kernel.meanwhile = () => told.push('the kernel was asked after the end');
		await immediate();
		expect(told).toEqual([]);
		expect(store.snapshot).toBe(before);

		kernel.meanwhile = () => {};
		const next = await new Store(kernel, limits).look(nextTurn);
		expectIdentity(next);
		expectMonotonic(before, next);
		expect(series(next, 'new')?.traffic.sentBytes).toBe(10n);
	});

	it('a failure leaves what was shown, and the next look finds all', async () => {
		const before = await store.look(nextTurn);
		kernel.visit('c1', 5n);
		kernel.visit('new', 5n);
		const failure = new Error('no memory');
		let fail = true;
		countReads((page) => {
			if (fail && page === pages) throw failure;
		});
		await expect(store.look(nextTurn)).rejects.toBe(failure);
		expect(store.snapshot).toBe(before);
		fail = false;
		const next = await store.look(nextTurn);
		expectIdentity(next);
		expectMonotonic(before, next);
		expect(series(next, 'c1')?.traffic.opened).toBe(2n);
		// it had no place in "other" yet
		expect(series(next, 'new')?.traffic.sentBytes).toBe(10n);
	});

	it('new limits count from the next look on', async () => {
		countReads(() => {
			store.limits = { ...limits, maxExported: 3 };
		});
		expect((await store.look(nextTurn)).clientsExported).toBe(2000);
		kernel.visit('new', 5n);
		expect(labels(await store.look(nextTurn))).not.toContain('new');
	});
});
