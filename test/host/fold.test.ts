// SPDX-License-Identifier: Apache-2.0
/** The program that takes a client out of the table: what it adds where, and what the exported set keeps. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Counters } from '../../daemon/capture/counters.ts';
import { clientKeyLayout, listenerKeyLayout } from '../../daemon/capture/layout.gen.ts';
import type { BpfObject } from '../../daemon/capture/native.ts';
import { Sweeper } from '../../daemon/capture/sweeper.ts';
import type { Traffic } from '../../daemon/model/snapshot.ts';
import { noTraffic } from '../../daemon/model/traffic.ts';
import { open, optionsHere } from '../fixtures/addon_child.ts';
import { keyOf, putClient } from '../fixtures/client_entries.ts';

const key = keyOf(1);
const text = key.toString('latin1');
const traffic: Traffic = { ...noTraffic, opened: 5n, closed: 5n, sentBytes: 700n };
const base: Traffic = { ...noTraffic, opened: 2n, closed: 2n, sentBytes: 100n };

let object: BpfObject;
let counters: Counters;

beforeEach(() => {
	object = open(optionsHere());
	counters = new Counters(
		object,
		new Sweeper(object),
		() => undefined,
		() => ({}),
	);
	const listener = Buffer.alloc(listenerKeyLayout.size);
	key.copy(listener, 0, clientKeyLayout.listener);
	expect(object.update('listener_places', listener, Buffer.from([1, 0, 0, 0]))).toBe(true);
	putClient(object, key, traffic, { tag: 0n });
});

afterEach(() => object.close());

const listener = () => counters.readListeners()[0];

test('what a series showed is folded, and its base stays in other', () => {
	counters.admit([{ key: text, exported: { base, sinceNs: 5n } }]);
	expect(counters.fold(text, { base, sinceNs: 5n })).toBe('folded');
	expect([object.count('clients'), object.count('exported'), counters.clientsFolded()]).toEqual([0, 0, 1n]);
	expect(listener()?.folded).toEqual({ ...noTraffic, opened: 3n, closed: 3n, sentBytes: 600n });
	expect(listener()?.unshown).toEqual(base);
});

test('without a series all of it stays in other', () => {
	expect(counters.fold(text, undefined)).toBe('folded');
	expect([listener()?.folded, listener()?.unshown]).toEqual([noTraffic, traffic]);
});

test('a run that a signal made begin anew adds nothing, and says the same', () => {
	for (let run = 0; run < 2; run++) expect(counters.fold(text, undefined)).toBe('folded');
	expect([listener()?.unshown, counters.clientsFolded()]).toEqual([traffic, 1n]);
});

test.each([
	['that is not retired', { ...traffic }, 1n],
	['with an open connection', { ...traffic, opened: 6n }, 0n],
])('a client %s goes on, and so does its series', (_, now, tag) => {
	putClient(object, key, now, { tag });
	counters.admit([{ key: text, exported: { base, sinceNs: 5n } }]);
	expect(counters.fold(text, { base, sinceNs: 5n })).toBe('refused');
	expect([...counters.readExported()]).toEqual([[text, { base, sinceNs: 5n }]]);
	expect([listener()?.folded, listener()?.unshown, counters.clientsFolded()]).toEqual([noTraffic, noTraffic, 0n]);
	const [page] = counters.readClients();
	expect([page?.length, page?.retired(0)]).toEqual([1, false]);
});

test('an entry of a series that has ended is taken out, once', () => {
	counters.admit([{ key: text, exported: { base, sinceNs: 0n } }]);
	for (let call = 0; call < 2; call++) expect(counters.dropExported(text)).toBe(true);
	expect(counters.readExported().size).toBe(0);
});

test('many are admitted in one call, and where the map is full those that have room, whichever they are', () => {
	const { maxEntries } = object.mapInfo('exported');
	const admission = (number: number, sinceNs: bigint) => ({
		key: keyOf(number).toString('latin1'),
		exported: { base: { ...base, sentBytes: BigInt(number) }, sinceNs },
	});
	const numbers = Array.from({ length: maxEntries }, (_, index) => index);
	const all = numbers.slice(1).map((number) => admission(number, 5n));
	expect(counters.admit(all)).toEqual(all.map(() => true));
	expect([...counters.readExported()].toSorted()).toEqual(all.map(({ key, exported }) => [key, exported]).toSorted());
	// one place is left, and those that are there already need none
	const more = [0, maxEntries, maxEntries + 1, 1, 2].map((number) => admission(number, 6n));
	expect(counters.admit(more)).toEqual([true, false, false, true, true]);
	expect(counters.readExported().get(more[4]?.key ?? '')).toEqual(more[4]?.exported);
	expect(object.count('exported')).toBe(maxEntries);
	expect(counters.admit([])).toEqual([]);
});
