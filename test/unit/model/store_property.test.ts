// SPDX-License-Identifier: Apache-2.0
/**
 * The store, whatever happens during and between collections: no sum is ever wrong at rest, no
 * counter ever falls, gauges equal the open connections, and a client that fits has a series, even
 * after restarts.
 */
import { randomInt } from 'node:crypto';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Yield } from '../../../daemon/event_loop.ts';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { Store } from '../../../daemon/model/store.ts';
import { noTraffic } from '../../../daemon/model/traffic.ts';
import { KernelModel, type Open } from '../../kit/model/kernel.ts';
import { expectGauges, expectIdentity, expectMonotonic, labels, series } from '../../kit/model/snapshots.ts';
import { random } from '../../kit/random.ts';

const collectionMs = 1000;
const idleMs = 10_000;
const aborted = new Error('aborted');

beforeEach(() => {
	vi.useFakeTimers({ toFake: ['Date'], now: 1_760_000_000_000 });
});

afterEach(() => {
	vi.useRealTimers();
});

const seeds = [1, 2, 1080548877, 501276581, randomInt(2 ** 31)];

/** The key's bucket in a table of eight. */
const bucketOf = (key: string) => [...key].reduce((sum, character) => 31 * sum + character.charCodeAt(0), 0) % 8;

/** Each gauge is the client's open connections; `other` has those of clients without a series. */
function expectOpen(snapshot: Snapshot, connections: readonly Open[]): void {
	expectGauges(snapshot);
	const rows = [...snapshot.clients].map(({ client, listener, active }) => ({ key: `${client} ${listener}`, active }));
	const open = new Map(rows.map(({ key }) => [key, 0]));
	for (const { client, listener, inOverflow } of connections) {
		const own = `${client} ${listener}:80`;
		const key = !inOverflow && open.has(own) ? own : `other ${listener}:80`;
		open.set(key, (open.get(key) ?? 0) + 1);
	}
	expect(rows).toEqual([...open].map(([key, active]) => ({ key, active })));
}

/** Every client has a series while there is room for one more. */
function expectFit(snapshot: Snapshot, kernel: KernelModel, maxExported: number): void {
	if (snapshot.clientsExported >= maxExported || kernel.readExported().size >= kernel.clientsCapacity) return;
	const shown = new Set([...snapshot.clients].map(({ client, listener }) => `${client} ${listener}`));
	const without = kernel.clientsInTable.filter(([client, listener]) => !shown.has(`${client} ${listener}:80`));
	expect(without, 'in other although there is room').toEqual([]);
}

/** With room for every client at all times, `other` has only what the table had no room for. */
function expectWhole(snapshot: Snapshot, kernel: KernelModel): void {
	for (const [listener, { overflow, unexported }] of kernel.listenerRows) {
		expect(unexported, 'without a series').toEqual(noTraffic);
		expect(series(snapshot, 'other', listener)?.traffic).toEqual(overflow);
	}
	expect([...kernel.readExported().values()].filter(({ base }) => base.opened > 0n)).toEqual([]);
}

const worlds = [
	{ world: 'little room', roomy: false },
	{ world: 'room for every client', roomy: true },
];
const runs = worlds.flatMap((world) => seeds.map((seed) => ({ ...world, seed })));

it.each(runs)('$world: every sum is exact and no counter falls (seed $seed)', async ({ roomy, seed }) => {
	const pick = random(seed);
	const kernel = new KernelModel(roomy ? 1000 : 2 + pick(12));
	kernel.pageLength = 1 + pick(4);
	kernel.bucketOf = bucketOf;
	const refuses = () => pick(2) === 0;
	kernel.refusesDeletion = refuses;
	const pickLimit = () => (roomy ? 1000 : pick(8));
	let maxExported = pickLimit();
	let store = new Store(kernel, { maxExported, idleMs });
	let last: Snapshot | undefined;
	let connections: Open[] = [];
	/** Programs in the middle of their run, and some that have ended. */
	const running: (() => void)[] = [];

	const step = () => {
		const which = pick(10);
		const listener = pick(4) === 0 ? 'b' : 'a';
		const client = pick(8) === 0 ? 'direct' : `c${pick(20)}`;
		const held = connections[pick(Math.max(1, connections.length))];
		if (which === 0) running.push(kernel.beginToOpen((connection) => connections.push(connection), client, listener));
		else if (which === 1) running.splice(pick(running.length), 1)[0]?.();
		else if (which < 3) connections.push(kernel.open(client, listener));
		else if (which < 5) kernel.openAndClose(client, BigInt(pick(1000)), listener);
		else if (which < 8 && held !== undefined) kernel.transfer(held, BigInt(pick(1000)));
		else if (held !== undefined) {
			kernel.close(held);
			connections = connections.filter((one) => one !== held);
		}
		// so that times differ within a collection as well
		if (pick(3) === 0) vi.advanceTimersByTime(1);
	};
	const quiet = () => Promise.resolve();
	/** What happens between two pages; now and then the collection is aborted there. */
	const busy = async () => {
		for (let steps = pick(3); steps > 0; steps--) step();
		if (pick(20) === 0) throw aborted;
	};
	const collect = async (yieldLoop: Yield): Promise<Snapshot | undefined> => {
		const before = store.snapshot;
		const copy = [...(before?.clients ?? [])];
		const pinned = [...kernel.readExported().values()].filter(({ sinceNs }) => sinceNs > 0n);
		const most = Math.max(maxExported, pinned.length);
		const snapshot = await store.collect(yieldLoop).catch((error: unknown) => {
			expect(error).toBe(aborted);
			return undefined;
		});
		expect([...(before?.clients ?? [])]).toEqual(copy);
		expect(store.snapshot).toBe(snapshot ?? before);
		if (snapshot === undefined) return undefined;
		if (last !== undefined) expectMonotonic(last, snapshot);
		expect([...snapshot.clients].filter(({ active }) => active < 0)).toEqual([]);
		expect(snapshot.clientsExported).toBe(labels(snapshot).length);
		expect(snapshot.clientsExported).toBeLessThanOrEqual(most);
		last = snapshot;
		return snapshot;
	};

	for (let round = 0; round < 600; round++) {
		for (let steps = pick(6); steps > 0; steps--) step();
		vi.advanceTimersByTime(pick(5) === 0 ? pick(2 * idleMs) : pick(collectionMs));
		if (pick(12) === 0) {
			maxExported = pickLimit();
			store.limits = { maxExported, idleMs };
		}
		if (pick(15) === 0) for (const one of connections.splice(0)) kernel.close(one);
		if (pick(10) === 0) store = new Store(kernel, { maxExported, idleMs });
		kernel.meanwhile = pick(3) === 0 ? () => void (pick(4) === 0 && step()) : () => {};
		await collect(pick(2) === 0 ? busy : quiet);
		kernel.meanwhile = () => {};
		if (pick(2) !== 0) continue;
		const atRest = (await collect(quiet)) as Snapshot;
		expectIdentity(atRest);
		expectOpen(atRest, connections);
		if (roomy) expectWhole(atRest, kernel);
		if (pick(2) !== 0) continue;
		// leftover entries of ended series occupy slots of the map: the store deletes them first
		kernel.refusesDeletion = () => false;
		await collect(quiet);
		expectFit((await collect(quiet)) as Snapshot, kernel, maxExported);
		kernel.refusesDeletion = refuses;
	}
});
