// SPDX-License-Identifier: Apache-2.0
/** Walks through all descriptors of the host have a bounded cost, however many callers ask. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { type Listening, ListeningSockets } from '../../../daemon/capture/listening.ts';
import { Owners } from '../../../daemon/capture/owners.ts';
import type { Tracker } from '../../../daemon/capture/provider.ts';
import type { Connection } from '../../../daemon/model/connection.ts';
import type { Peers } from '../../../daemon/model/peers.ts';
import { PeerSearch } from '../../../daemon/service/peer_search.ts';
import { Tasks } from '../../../daemon/service/tasks.ts';
import { type BpfObject, native } from '../../../native/binding.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => {
	vi.restoreAllMocks();
	vi.useRealTimers();
});

/** A host where one walk takes `walkMs`. */
function slowHost(walkMs: number): { sockets: ListeningSockets; walks: () => number } {
	let walks = 0;
	const iterate: BpfObject['iterate'] = () => {
		walks++;
		vi.advanceTimersByTime(walkMs);
		return 0;
	};
	return { sockets: new ListeningSockets({ iterate } as BpfObject, ''), walks: () => walks };
}

it.each([
	{ walkMs: 1, ms: 10_000, most: 10 },
	{ walkMs: 500, ms: 20_000, most: 3 },
])('a walk of $walkMs ms that is requested 1000 times in $ms ms runs at most $most times', ({ walkMs, ms, most }) => {
	const { sockets, walks } = slowHost(walkMs);
	const until = performance.now() + ms;
	while (performance.now() < until) {
		sockets.recent();
		vi.advanceTimersByTime(ms / 1000);
	}
	expect(walks()).toBeLessThanOrEqual(most);
	expect(walks()).toBeGreaterThan(1);
});

it('looking up the owners of connections is limited in the same way', () => {
	const { sockets, walks } = slowHost(500);
	vi.spyOn(native(), 'monotonicNs').mockImplementation(() => BigInt(Math.round(performance.now() * 1e6)));
	const owners = new Owners(sockets);
	const local = { family: 4, text: '192.0.2.1', port: 80 } as const;
	for (let second = 0; second < 40; second++) {
		const openedNs = native().monotonicNs();
		owners.of({ local, netns: 1, openedNs } as unknown as Connection);
		vi.advanceTimersByTime(1500);
	}
	expect(walks()).toBeLessThanOrEqual(7);
	expect(walks()).toBeGreaterThan(1);
});

it.each([
	{ state: 'has ended', pid: 2 ** 22 + 1, named: false },
	{ state: 'is alive', pid: process.pid, named: true },
])('while no walk is allowed, an owner that $state is named: $named', ({ pid, named }) => {
	const { sockets, walks } = slowHost(500);
	vi.spyOn(native(), 'monotonicNs').mockImplementation(() => BigInt(Math.round(performance.now() * 1e6)));
	const local = { family: 4, text: '192.0.2.1', port: 80 } as const;
	const listening = { local, netns: 1, owner: { by: 'listener', pid }, startedNs: 0n } as unknown as Listening;
	const read = sockets.read.bind(sockets);
	vi.spyOn(sockets, 'read').mockImplementation(() => [...read(), listening]);
	const owners = new Owners(sockets);
	const ask = () => owners.of({ local, netns: 1, openedNs: native().monotonicNs() } as unknown as Connection);
	vi.advanceTimersByTime(1500);
	// found by the walk
	expect(ask()).toBe(listening.owner);
	vi.advanceTimersByTime(1500);
	for (let times = 0; times < 3; times++) {
		expect(ask()).toBe(named ? listening.owner : undefined);
		vi.advanceTimersByTime(10);
	}
	expect(walks()).toBe(1);
});

it('only one search for peers runs at a time, however long it takes', async () => {
	const searches: ((found: Peers) => void)[] = [];
	const peers = () => new Promise<Peers>((resolve) => void searches.push(resolve));
	const search = new PeerSearch({ peers } as unknown as Tracker, new Tasks({ info() {}, warn() {}, error() {} }));
	const first = [search.find()];
	vi.advanceTimersByTime(5000);
	first.push(search.find());
	expect(searches).toHaveLength(1);
	const found: Peers = { connections: 1, busiest: [], listening: [] };
	searches[0]?.(found);
	expect(await Promise.all(first)).toEqual([found, found]);
	expect(await search.find()).toBe(found);
	expect(searches).toHaveLength(1);
	vi.advanceTimersByTime(10_000);
	void search.find();
	expect(searches).toHaveLength(2);
});
