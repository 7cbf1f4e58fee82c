// SPDX-License-Identifier: Apache-2.0
/** The store, whatever happens while it looks and between: no sum is ever wrong at rest and nothing ever falls, also not over a restart. */
import { randomInt } from 'node:crypto';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { Snapshot } from '../../daemon/model/snapshot.ts';
import { type NextTurn, Store } from '../../daemon/model/store.ts';
import { Kernel, type Open } from '../fixtures/kernel.ts';
import { random } from '../fixtures/random.ts';
import { expectIdentity, expectMonotonic, labels } from '../fixtures/snapshots.ts';

const lookMs = 1000;
const idleMs = 10_000;
const givenUp = new Error('given up');

beforeEach(() => {
	vi.useFakeTimers({ toFake: ['Date'], now: 1_760_000_000_000 });
});

afterEach(() => {
	vi.useRealTimers();
});

const seeds = [1, 2, 3, randomInt(2 ** 31)];

/** The key's bucket in a table of eight. */
const bucketOf = (key: string) => [...key].reduce((sum, character) => 31 * sum + character.charCodeAt(0), 0) % 8;

it.each(seeds)('every sum is exact and nothing falls (seed %i)', async (seed) => {
	const pick = random(seed);
	const kernel = new Kernel(2 + pick(12));
	kernel.pageLength = 1 + pick(4);
	kernel.bucketOf = bucketOf;
	kernel.refuses = () => pick(2) === 0;
	let maxExported = pick(8);
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
		expect(snapshot.clientsExported).toBe(labels(snapshot).length);
		expect(snapshot.clientsExported).toBeLessThanOrEqual(most);
		last = snapshot;
		return snapshot;
	};

	for (let round = 0; round < 1000; round++) {
		for (let steps = pick(6); steps > 0; steps--) step();
		vi.advanceTimersByTime(pick(5) === 0 ? pick(2 * idleMs) : pick(lookMs));
		if (pick(12) === 0) {
			maxExported = pick(8);
			store.limits = { maxExported, idleMs };
		}
		if (pick(15) === 0) for (const one of connections.splice(0)) kernel.close(one);
		if (pick(10) === 0) store = new Store(kernel, { maxExported, idleMs });
		kernel.meanwhile = pick(3) === 0 ? () => void (pick(4) === 0 && step()) : () => {};
		await look(pick(2) === 0 ? busy : quiet);
		kernel.meanwhile = () => {};
		if (pick(2) === 0) expectIdentity((await look(quiet)) as Snapshot);
	}
});
