// SPDX-License-Identifier: Apache-2.0
/**
 * The store over a small honest model of the kernel's tables: who gets a series, who is `other`, who is folded, and that
 * no series ever falls, a daemon that was killed and started again included.
 */
import { randomInt } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Snapshot, Traffic } from '../../daemon/model/snapshot.ts';
import type { ClientTable, Exported, ListenerRecord, Source, Sum } from '../../daemon/model/source.ts';
import { Store } from '../../daemon/model/store.ts';
import { addTo, emptySum, noTraffic, subtract } from '../../daemon/model/traffic.ts';

const lookMs = 1000;
const idleMs = 10_000;
const fields = Object.keys(noTraffic) as (keyof Traffic)[];
const histogram = { sumNs: 0n, buckets: [], boundsNs: [] };

interface Entry {
	readonly traffic: Sum;
	createdNs: bigint;
	activeNs: bigint;
	retired: boolean;
}

type Line = Record<'total' | 'direct' | 'overflow' | 'folded' | 'unshown', Sum>;

interface Open {
	readonly listener: string;
	readonly client: string;
	/** As settle() of bpf/verdict.h decides it. */
	readonly inOverflow: boolean;
}

/** What bpf/account.h, verdict.h and fold.bpf.c do, one step at a time. It outlives a Store as pinned maps do. */
class Kernel implements Source {
	readonly clientsCapacity: number;
	classifiedNs = 0n;
	/** Runs at each call of the store that is no reading of the clients: what happens on other CPUs while it looks. */
	meanwhile: () => void = () => {};
	readonly lines = new Map<string, Line>();
	readonly #clients = new Map<string, Entry>();
	readonly #exported = new Map<string, Exported>();
	#overflowed = 0n;
	#folded = 0n;

	constructor(capacity = 1000) {
		this.clientsCapacity = capacity;
	}

	get #nowNs(): bigint {
		return BigInt(Date.now()) * 1_000_000n;
	}

	#line(listener: string): Line {
		let line = this.lines.get(listener);
		if (line === undefined) {
			line = {
				total: emptySum(),
				direct: emptySum(),
				overflow: emptySum(),
				folded: emptySum(),
				unshown: emptySum(),
			};
			this.lines.set(listener, line);
		}
		return line;
	}

	#attribute({ listener, client, inOverflow }: Open, delta: Traffic): void {
		const line = this.#line(listener);
		addTo(line.total, delta);
		if (client === 'direct') return addTo(line.direct, delta);
		const entry = inOverflow ? undefined : this.#clients.get(`${client} ${listener}`);
		if (entry === undefined || entry.retired) return addTo(line.overflow, delta);
		addTo(entry.traffic, delta);
		entry.activeNs = this.#nowNs;
	}

	open(client: string, listener = 'a'): Open {
		const key = `${client} ${listener}`;
		if (client !== 'direct' && !this.#clients.has(key) && this.#clients.size < this.clientsCapacity) {
			this.#clients.set(key, { traffic: emptySum(), createdNs: this.#nowNs, activeNs: 0n, retired: false });
		}
		const inOverflow = client !== 'direct' && this.#clients.get(key)?.retired !== false;
		if (inOverflow) this.#overflowed++;
		const connection = { client, listener, inOverflow };
		this.#attribute(connection, { ...noTraffic, opened: 1n });
		return connection;
	}

	/** Of a program that found the entry before it was retired, and counts after. */
	openInTime(client: string, listener = 'a'): Open {
		const entry = this.#clients.get(`${client} ${listener}`);
		if (entry === undefined) throw new RangeError(`no client ${client}`);
		entry.traffic.opened++;
		addTo(this.#line(listener).total, { ...noTraffic, opened: 1n });
		return { client, listener, inOverflow: false };
	}

	transfer(connection: Open, bytes: bigint): void {
		this.#attribute(connection, {
			...noTraffic,
			receivedBytes: bytes,
			sentBytes: 2n * bytes,
			retransmittedSegments: bytes % 3n,
			rttSumNs: 7n * bytes,
			rttCount: 1n,
		});
	}

	close(connection: Open): void {
		this.#attribute(connection, { ...noTraffic, closed: 1n, receivedBytes: 5n, durationSumNs: 1_000n });
	}

	/** One connection, whole. */
	visit(client: string, bytes: bigint, listener = 'a'): void {
		const connection = this.open(client, listener);
		this.transfer(connection, bytes);
		this.close(connection);
	}

	/** An entry of which the program that makes it has not told the time yet, or counted the connection. */
	begin(client: string, listener = 'a'): void {
		this.#clients.set(`${client} ${listener}`, {
			traffic: emptySum(),
			createdNs: 0n,
			activeNs: 0n,
			retired: false,
		});
	}

	tracks(client: string, listener = 'a'): boolean {
		return this.#clients.has(`${client} ${listener}`);
	}

	readClients(): ClientTable {
		const rows = [...this.#clients].map(([key, entry]) => ({ key, entry: structuredClone(entry) }));
		const row = (index: number) => {
			const found = rows[index];
			if (found === undefined) throw new RangeError(`no client ${index}`);
			return found;
		};
		return {
			length: rows.length,
			key: (index) => row(index).key,
			listener: (index) => row(index).key.split(' ')[1] ?? '',
			label: (index) => row(index).key.split(' ')[0] ?? '',
			traffic: (index) => row(index).entry.traffic,
			add: (index, to) => addTo(to, row(index).entry.traffic),
			createdNs: (index) => row(index).entry.createdNs,
			activeNs: (index) => row(index).entry.activeNs,
			open: (index) => row(index).entry.traffic.opened - row(index).entry.traffic.closed,
			retired: (index) => row(index).entry.retired,
		};
	}

	readListeners(): readonly ListenerRecord[] {
		this.meanwhile();
		return [...this.lines].map(([key, line]) => ({
			...structuredClone(line),
			key,
			endpoint: { family: 4, text: key, port: 80 },
			handshakes: { toa: 0n, none: 0n, malformed: 0n, untrusted: 0n, conflict: 0n },
			options: [],
			accepts: { fexit: 0n, getpeername: 0n, unseen: 0n },
			rtt: histogram,
			duration: histogram,
			acceptWait: histogram,
		}));
	}

	readExported(): Map<string, Exported> {
		return structuredClone(this.#exported);
	}

	admit(key: string, exported: Exported): boolean {
		this.meanwhile();
		if (this.#exported.size >= this.clientsCapacity) return false;
		this.#exported.set(key, structuredClone(exported));
		return true;
	}

	retire(key: string): boolean {
		this.meanwhile();
		const entry = this.#clients.get(key);
		if (entry === undefined || entry.traffic.opened !== entry.traffic.closed) return false;
		entry.retired = true;
		return true;
	}

	fold(key: string, exported: Exported | undefined): boolean {
		this.meanwhile();
		const entry = this.#clients.get(key);
		const line = this.lines.get(key.split(' ')[1] ?? '');
		if (!entry?.retired || line === undefined) return false;
		if (entry.traffic.opened !== entry.traffic.closed) {
			entry.retired = false;
			return false;
		}
		if (exported !== undefined) addTo(line.folded, subtract(entry.traffic, exported.base));
		addTo(line.unshown, exported === undefined ? entry.traffic : exported.base);
		this.#clients.delete(key);
		this.#exported.delete(key);
		this.#folded++;
		return true;
	}

	clientsFolded = () => this.#folded;
	drops = () => ({ clients_full: this.#overflowed });
	maps = () => [];
	programs = () => [];

	monotonicNs(): bigint {
		this.meanwhile();
		return this.#nowNs;
	}
}

const series = (snapshot: Snapshot, client: string, listener = 'a') =>
	snapshot.clients.find((one) => one.client === client && one.listener === `${listener}:80`);

const labels = (snapshot: Snapshot) =>
	snapshot.clients.map(({ client }) => client).filter((client) => client !== 'direct' && client !== 'other');

/** Clients + direct + other + folded = total, in every field. */
function expectIdentity(snapshot: Snapshot): void {
	for (const { listener, total, folded } of snapshot.listeners) {
		const sum = emptySum();
		addTo(sum, folded);
		for (const one of snapshot.clients) if (one.listener === listener) addTo(sum, one.traffic);
		expect(sum, `clients + direct + other + folded of ${listener}`).toEqual(total);
	}
}

function expectGrown(what: string, from: Traffic, to: Traffic): void {
	for (const field of fields) expect(to[field], `${what}: ${field}`).toBeGreaterThanOrEqual(from[field]);
}

/** Nothing fell, and what a series that ended had shown is in `folded`. */
function expectMonotonic(before: Snapshot, after: Snapshot): void {
	for (const { listener, total, folded } of before.listeners) {
		const now = after.listeners.find((one) => one.listener === listener);
		expect(now, listener).toBeDefined();
		if (now === undefined) continue;
		expectGrown(`total of ${listener}`, total, now.total);
		const ended = emptySum();
		addTo(ended, folded);
		for (const { client, traffic, sinceNs } of before.clients.filter((one) => one.listener === listener)) {
			const same = after.clients.find((one) => one.client === client && one.listener === listener);
			const lives = same !== undefined && (same.sinceNs === sinceNs || client === 'direct' || client === 'other');
			if (lives) expectGrown(`${client} of ${listener}`, traffic, same.traffic);
			else addTo(ended, traffic);
		}
		expectGrown(`folded of ${listener}, with the series that ended`, ended, now.folded);
	}
}

beforeEach(() => {
	vi.useFakeTimers({ toFake: ['Date'], now: 1_760_000_000_000 });
});

afterEach(() => {
	vi.useRealTimers();
});

/** A store whose every look, at rest, is checked; `again()` starts another on the same kernel state. */
function start(limits: { maxExported: number; capacity?: number }) {
	const kernel = new Kernel(limits.capacity);
	const settings = { maxExported: limits.maxExported, idleMs };
	let store = new Store(kernel, settings);
	let last: Snapshot | undefined;
	return {
		kernel,
		look(afterMs = lookMs): Snapshot {
			vi.advanceTimersByTime(afterMs);
			const snapshot = store.look();
			expectIdentity(snapshot);
			if (last !== undefined) expectMonotonic(last, snapshot);
			last = snapshot;
			return snapshot;
		},
		again(): void {
			store = new Store(kernel, settings);
		},
		limit(maxExported: number): void {
			store.limits = { maxExported, idleMs };
		},
	};
}

describe('admission', () => {
	it('gives a client that finds a free place a series with all that it did', () => {
		const { kernel, look } = start({ maxExported: 2 });
		look();
		kernel.visit('x', 100n);
		kernel.visit('x', 20n);
		expect(series(look(), 'x')?.traffic).toEqual({
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

	it('puts those beyond max_exported into other', () => {
		const { kernel, look } = start({ maxExported: 1 });
		kernel.visit('x', 1n);
		kernel.visit('y', 10n);
		kernel.visit('z', 100n);
		const snapshot = look();
		expect(labels(snapshot)).toEqual(['x']);
		expect(series(snapshot, 'other')?.traffic).toMatchObject({ opened: 2n, sentBytes: 220n });
		expect(snapshot).toMatchObject({ clientsTracked: 3, clientsExported: 1, clientsCapacity: 1000 });
	});

	it('puts those that the kernel has no room for into other, and says so', () => {
		const { kernel, look } = start({ maxExported: 10, capacity: 2 });
		for (const client of ['x', 'y', 'z', 'z']) kernel.visit(client, 1n);
		const snapshot = look();
		expect(labels(snapshot)).toEqual(['x', 'y']);
		expect(series(snapshot, 'other')?.traffic.opened).toBe(2n);
		expect(snapshot.clientsOverflowed).toBe(2n);
	});

	it('shows direct connections apart, for each listener', () => {
		const { kernel, look } = start({ maxExported: 10 });
		kernel.visit('direct', 3n);
		kernel.visit('direct', 4n, 'b');
		kernel.visit('x', 5n, 'b');
		const snapshot = look();
		expect(series(snapshot, 'direct')?.traffic.sentBytes).toBe(6n);
		expect(series(snapshot, 'direct', 'b')?.traffic.sentBytes).toBe(8n);
		expect(series(snapshot, 'x', 'b')?.traffic.sentBytes).toBe(10n);
		expect(series(snapshot, 'x')).toBeUndefined();
	});

	it('counts what an open connection has done so far', () => {
		const { kernel, look } = start({ maxExported: 10 });
		const connection = kernel.open('x');
		kernel.transfer(connection, 50n);
		expect(series(look(), 'x')?.traffic).toMatchObject({ opened: 1n, closed: 0n, sentBytes: 100n });
		kernel.close(connection);
		expect(series(look(), 'x')?.traffic).toMatchObject({ opened: 1n, closed: 1n, sentBytes: 100n });
	});

	it('admits nobody from other that does nothing, the busiest when a place falls free', () => {
		const { kernel, look, limit } = start({ maxExported: 1 });
		for (const client of ['x', 'quiet', 'slow', 'busy']) kernel.visit(client, 1000n);
		look();
		limit(2);
		expect(labels(look())).toEqual(['x']);
		kernel.visit('slow', 1n);
		kernel.visit('busy', 30n);
		const snapshot = look();
		expect(labels(snapshot).toSorted()).toEqual(['busy', 'x']);
		// what it did before stays in "other"
		expect(series(snapshot, 'busy')?.traffic).toEqual(noTraffic);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(6062n);
		kernel.visit('busy', 7n);
		const later = look();
		expect(series(later, 'busy')?.traffic).toMatchObject({ opened: 1n, sentBytes: 14n });
		expect(series(later, 'other')?.traffic.sentBytes).toBe(6062n);
	});

	it('ends no series when max_exported is lowered', () => {
		const { kernel, look, limit } = start({ maxExported: 2 });
		kernel.visit('x', 1n);
		kernel.visit('y', 1n);
		look();
		limit(1);
		kernel.visit('z', 1n);
		expect(labels(look())).toEqual(['x', 'y']);
	});

	it.each([
		['the same daemon', false],
		['the next daemon', true],
	])('takes nothing out of other that a client did just before the table was read: %s', (_, restart) => {
		const { kernel, look, limit, again } = start({ maxExported: 1 });
		kernel.visit('x', 1n);
		look();
		const read = kernel.readClients.bind(kernel);
		kernel.readClients = () => {
			kernel.readClients = read;
			vi.advanceTimersByTime(1);
			kernel.visit('late', 9n);
			return read();
		};
		expect(series(look(), 'other')?.traffic.sentBytes).toBe(18n);
		if (restart) again();
		limit(2);
		const snapshot = look();
		expect(labels(snapshot)).toEqual(['x']);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(18n);
	});

	it('gives a client that came while the store looked its whole history at the next look', () => {
		const kernel = new Kernel();
		const store = new Store(kernel, { maxExported: 5, idleMs });
		kernel.visit('x', 1n);
		store.look();
		// what follows the read of the table, the time included
		kernel.meanwhile = () => {
			kernel.meanwhile = () => {};
			kernel.visit('late', 9n);
			vi.advanceTimersByTime(1);
		};
		expect(series(store.look(), 'late')).toBeUndefined();
		vi.advanceTimersByTime(lookMs);
		const snapshot = store.look();
		expect(series(snapshot, 'late')?.traffic).toMatchObject({ opened: 1n, sentBytes: 18n });
		expectIdentity(snapshot);
	});
});

describe('folding', () => {
	it('ends the series of an idle client two looks on, and adds it to folded, never to other', () => {
		const { kernel, look } = start({ maxExported: 2 });
		kernel.visit('x', 100n);
		const shown = series(look(), 'x')?.traffic;
		expect(labels(look(idleMs))).toEqual(['x']);
		const snapshot = look();
		expect(labels(snapshot)).toEqual([]);
		expect(snapshot.listeners[0]?.folded).toEqual(shown);
		expect(series(snapshot, 'other')?.traffic).toEqual(noTraffic);
		expect(snapshot).toMatchObject({ clientsFolded: 1n, clientsTracked: 0, clientsExported: 0 });
		expect(kernel.tracks('x')).toBe(false);
	});

	it('leaves alone who has an open connection or traffic', () => {
		const { kernel, look } = start({ maxExported: 5 });
		kernel.open('open');
		kernel.visit('active', 1n);
		look();
		for (let i = 0; i < 5; i++) {
			kernel.visit('active', 1n);
			look(idleMs - 1);
		}
		expect(labels(look()).toSorted()).toEqual(['active', 'open']);
	});

	it('leaves in other what it was in, also of a client without a series', () => {
		const { kernel, look } = start({ maxExported: 0 });
		kernel.visit('x', 100n);
		look();
		look(idleMs);
		const snapshot = look();
		expect(kernel.tracks('x')).toBe(false);
		expect(snapshot.listeners[0]?.folded).toEqual(noTraffic);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(200n);
	});

	it('splits a client that was admitted from other: its past stays there', () => {
		const { kernel, look, limit } = start({ maxExported: 0 });
		kernel.visit('x', 100n);
		look();
		kernel.visit('x', 10n);
		limit(1);
		expect(series(look(), 'x')?.traffic).toEqual(noTraffic);
		kernel.visit('x', 1n);
		look();
		look(idleMs);
		const snapshot = look();
		expect(snapshot.listeners[0]?.folded).toMatchObject({ opened: 1n, sentBytes: 2n });
		expect(series(snapshot, 'other')?.traffic).toMatchObject({ opened: 2n, sentBytes: 220n });
	});

	it('starts a client that returns from 0, at a new time', () => {
		const { kernel, look } = start({ maxExported: 2 });
		kernel.visit('x', 100n);
		const first = series(look(), 'x');
		look(idleMs);
		look();
		kernel.visit('x', 1n);
		const second = series(look(), 'x');
		expect(second?.traffic).toMatchObject({ opened: 1n, sentBytes: 2n });
		expect(second?.sinceNs).toBeGreaterThan(first?.sinceNs ?? 0n);
	});

	it('counts a client in other that returns while it is being taken out', () => {
		const { kernel, look } = start({ maxExported: 2 });
		kernel.visit('x', 100n);
		look();
		look(idleMs);
		const connection = kernel.open('x');
		kernel.transfer(connection, 3n);
		const snapshot = look();
		expect(labels(snapshot)).toEqual([]);
		expect(series(snapshot, 'other')?.traffic).toMatchObject({ opened: 1n, closed: 0n, sentBytes: 6n });
		kernel.close(connection);
		expect(series(look(), 'other')?.traffic).toMatchObject({ opened: 1n, closed: 1n });
	});

	it.each([
		['a series', 1, 'x'],
		['other', 0, 'other'],
	])('goes on in %s with a client that a program counts for after all', (_, maxExported, shownAs) => {
		const { kernel, look, limit } = start({ maxExported });
		kernel.visit('x', 100n);
		look();
		look(idleMs);
		const connection = kernel.openInTime('x');
		limit(1);
		look();
		kernel.close(connection);
		const snapshot = look(0);
		expect(snapshot.clientsFolded).toBe(0n);
		expect(series(snapshot, shownAs)?.traffic).toMatchObject({ opened: 2n, closed: 2n });
	});

	it('gives the place that falls free to the busiest in other', () => {
		const { kernel, look } = start({ maxExported: 1 });
		kernel.visit('x', 1n);
		kernel.visit('y', 1n);
		kernel.visit('z', 1n);
		look();
		const held = ['y', 'z'].map((client) => kernel.open(client));
		look(idleMs);
		held.forEach((connection, index) => {
			kernel.transfer(connection, BigInt(index + 1));
		});
		expect(labels(look())).toEqual(['z']);
	});

	it('does not take a client that is just being made for an idle one', () => {
		const { kernel, look } = start({ maxExported: 2 });
		kernel.visit('x', 1n);
		look();
		kernel.begin('y');
		look();
		look();
		expect(kernel.tracks('y')).toBe(true);
	});
});

describe('another daemon on the same kernel state', () => {
	it('shows the same series, with the same start', () => {
		const { kernel, look, again } = start({ maxExported: 2 });
		kernel.visit('x', 10n);
		const before = series(look(), 'x');
		again();
		expect(series(look(), 'x')).toEqual(before);
	});

	it('leaves in other who was there, whatever place is free now, and admits who came meanwhile', () => {
		const { kernel, look, again, limit } = start({ maxExported: 1 });
		kernel.visit('x', 1n);
		kernel.visit('y', 10n);
		look();
		vi.advanceTimersByTime(1);
		kernel.visit('z', 100n);
		again();
		limit(3);
		const snapshot = look();
		expect(labels(snapshot)).toEqual(['x', 'z']);
		expect(series(snapshot, 'z')?.traffic.sentBytes).toBe(200n);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(20n);
	});

	it('remembers what an admitted client had left in other', () => {
		const { kernel, look, again, limit } = start({ maxExported: 0 });
		kernel.visit('x', 100n);
		look();
		kernel.visit('x', 10n);
		limit(1);
		look();
		again();
		kernel.visit('x', 1n);
		const snapshot = look();
		expect(series(snapshot, 'x')?.traffic.sentBytes).toBe(2n);
		expect(series(snapshot, 'other')?.traffic.sentBytes).toBe(220n);
	});

	it('folds who the one before was taking out', () => {
		const { kernel, look, again } = start({ maxExported: 1 });
		kernel.visit('x', 10n);
		look();
		look(idleMs);
		again();
		const snapshot = look();
		expect(labels(snapshot)).toEqual([]);
		expect(snapshot.listeners[0]?.folded.sentBytes).toBe(20n);
	});
});

/** mulberry32: the same numbers for the same seed. */
function random(seed: number): (below: number) => number {
	let state = seed;
	return (below) => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
		mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
		return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
	};
}

describe('whatever happens', () => {
	const seeds = [1, 2, 3, randomInt(2 ** 31)];

	it.each(seeds)('every sum is exact and nothing falls (seed %i)', (seed) => {
		const pick = random(seed);
		const kernel = new Kernel(2 + pick(12));
		let maxExported = pick(8);
		let store = new Store(kernel, { maxExported, idleMs });
		let last: Snapshot | undefined;
		let connections: Open[] = [];

		const step = () => {
			const which = pick(10);
			const listener = pick(4) === 0 ? 'b' : 'a';
			const client = pick(8) === 0 ? 'direct' : `c${pick(20)}`;
			const held = connections[pick(Math.max(1, connections.length))];
			if (which < 3) connections.push(kernel.open(client, listener));
			else if (which < 5) kernel.visit(client, BigInt(pick(1000)), listener);
			else if (which < 8 && held !== undefined) kernel.transfer(held, BigInt(pick(1000)));
			else if (held !== undefined) {
				kernel.close(held);
				connections = connections.filter((one) => one !== held);
			}
			// so that times differ within a look as well
			if (pick(3) === 0) vi.advanceTimersByTime(1);
		};
		const look = (): Snapshot => {
			const snapshot = store.look();
			if (last !== undefined) expectMonotonic(last, snapshot);
			expect(snapshot.clientsExported).toBe(labels(snapshot).length);
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
			look();
			kernel.meanwhile = () => {};
			// at rest
			if (pick(2) === 0) expectIdentity(look());
		}
	});
});
