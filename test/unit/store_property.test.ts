// SPDX-License-Identifier: Apache-2.0
/**
 * The store, whatever happens while it looks and between: no sum is ever wrong at rest, nothing ever falls, gauges are what is
 * open, and a client that fits has a series, also over restarts.
 */
import { randomInt } from 'node:crypto';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Snapshot } from '../../daemon/model/snapshot.ts';
import { type NextTurn, Store } from '../../daemon/model/store.ts';
import { noTraffic } from '../../daemon/model/traffic.ts';
import { Kernel, type Open } from '../fixtures/kernel.ts';
import { random } from '../fixtures/random.ts';
import { expectGauges, expectIdentity, expectMonotonic, labels, series } from '../fixtures/snapshots.ts';

const lookMs = 1000;
const idleMs = 10_000;
const givenUp = new Error('given up');

beforeEach(() => {
	vi.useFakeTimers({ toFake: ['Date'], now: 1_760_000_000_000 });
});

afterEach(() => {
	vi.useRealTimers();
});

const seeds = [1, 2, 1080548877, 501276581, randomInt(2 ** 31)];

/** The key's bucket in a table of eight. */
const bucketOf = (key: string) => [...key].reduce((sum, character) => 31 * sum + character.charCodeAt(0), 0) % 8;

/** Each client's gauge is what it has open; `other` has what is open of those without a series. */
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

/** No place is free while a client has no series. */
function expectFit(snapshot: Snapshot, kernel: Kernel, maxExported: number): void {
	if (snapshot.clientsExported >= maxExported || kernel.readExported().size >= kernel.clientsCapacity) return;
	const shown = new Set([...snapshot.clients].map(({ client, listener }) => `${client} ${listener}`));
	const without = kernel.present.filter(([client, listener]) => !shown.has(`${client} ${listener}:80`));
	expect(without, 'in other, where there is a place').toEqual([]);
}

/** Where there has always been a place for everybody, `other` has what the table had no room for, and no more. */
function expectWhole(snapshot: Snapshot, kernel: Kernel): void {
	for (const [listener, { overflow, unshown }] of kernel.lines) {
		expect(unshown, 'without a series').toEqual(noTraffic);
		expect(series(snapshot, 'other', listener)?.traffic).toEqual(overflow);
	}
	expect([...kernel.readExported().values()].filter(({ base }) => base.opened > 0n)).toEqual([]);
}

const worlds = [
	{ world: 'few places', roomy: false },
	{ world: 'a place for everybody', roomy: true },
];
const runs = worlds.flatMap((world) => seeds.map((seed) => ({ ...world, seed })));

it.each(runs)('$world: every sum is exact and nothing falls (seed $seed)', async ({ roomy, seed }) => {
	const pick = random(seed);
	const kernel = new Kernel(roomy ? 1000 : 2 + pick(12));
	kernel.pageLength = 1 + pick(4);
	kernel.bucketOf = bucketOf;
	const refuses = () => pick(2) === 0;
	kernel.refuses = refuses;
	const places = () => (roomy ? 1000 : pick(8));
	let maxExported = places();
	let store = new Store(kernel, { maxExported, idleMs });
	let last: Snapshot | undefined;
	let connections: Open[] = [];
	/** Programs that may be in the middle of their run, and some that are over. */
	const running: (() => void)[] = [];

	const step = () => {
		const which = pick(10);
		const listener = pick(4) === 0 ? 'b' : 'a';
		const client = pick(8) === 0 ? 'direct' : `c${pick(20)}`;
		const held = connections[pick(Math.max(1, connections.length))];
		if (which === 0) running.push(kernel.beginToOpen((connection) => connections.push(connection), client, listener));
		else if (which === 1) running.splice(pick(running.length), 1)[0]?.();
		else if (which < 3) connections.push(kernel.open(client, listener));
		else if (which < 5) kernel.visit(client, BigInt(pick(1000)), listener);
		else if (which < 8 && held !== undefined) kernel.transfer(held, BigInt(pick(1000)));
		else if (held !== undefined) {
			kernel.close(held);
			connections = connections.filter((one) => one !== held);
		}
		// so that times differ within a look as well
		if (pick(3) === 0) vi.advanceTimersByTime(1);
	};
	const quiet = () => Promise.resolve();
	/** What others do between two pages; now and then the look is given up there. */
	const busy = async () => {
		for (let steps = pick(3); steps > 0; steps--) step();
		if (pick(20) === 0) throw givenUp;
	};
	const look = async (nextTurn: NextTurn): Promise<Snapshot | undefined> => {
		const before = store.snapshot;
		const copy = [...(before?.clients ?? [])];
		const pinned = [...kernel.readExported().values()].filter(({ sinceNs }) => sinceNs > 0n);
		const most = Math.max(maxExported, pinned.length);
		const snapshot = await store.look(nextTurn).catch((error: unknown) => {
			expect(error).toBe(givenUp);
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
		vi.advanceTimersByTime(pick(5) === 0 ? pick(2 * idleMs) : pick(lookMs));
		if (pick(12) === 0) {
			maxExported = places();
			store.limits = { maxExported, idleMs };
		}
		if (pick(15) === 0) for (const one of connections.splice(0)) kernel.close(one);
		if (pick(10) === 0) store = new Store(kernel, { maxExported, idleMs });
		kernel.meanwhile = pick(3) === 0 ? () => void (pick(4) === 0 && step()) : () => {};
		await look(pick(2) === 0 ? busy : quiet);
		kernel.meanwhile = () => {};
		if (pick(2) !== 0) continue;
		const atRest = (await look(quiet)) as Snapshot;
		expectIdentity(atRest);
		expectOpen(atRest, connections);
		if (roomy) expectWhole(atRest, kernel);
		if (pick(2) !== 0) continue;
		// first the entries go that are left of series that have ended: they have places in the map
		kernel.refuses = () => false;
		await look(quiet);
		expectFit((await look(quiet)) as Snapshot, kernel, maxExported);
		kernel.refuses = refuses;
	}
});
