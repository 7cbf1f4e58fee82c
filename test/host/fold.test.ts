// SPDX-License-Identifier: Apache-2.0
/** The program that folds a client: what it adds where, and what stays in the map `exported`. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Counters } from '../../daemon/capture/maps/counters.ts';
import { clientKeyLayout, listenerKeyLayout } from '../../daemon/capture/records/layout.gen.ts';
import { Sweeper } from '../../daemon/capture/sweeper.ts';
import type { Traffic } from '../../daemon/model/traffic.ts';
import { noTraffic } from '../../daemon/model/traffic.ts';
import type { BpfObject } from '../../native/binding.ts';
import { open, optionsHere } from '../kit/kernel/addon_child.ts';
import { keyOf, putClient } from '../kit/kernel/client_entries.ts';

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
	expect(object.map('listener_index').update(listener, Buffer.from([1, 0, 0, 0]))).toBe(true);
	putClient(object, key, traffic, { tag: 0n });
});

afterEach(() => object.close());

const listener = () => counters.readListeners()[0];

test('the counts of a series are folded, and its base stays in other', () => {
	counters.admit([{ key: text, exported: { base, sinceNs: 5n } }]);
	expect(counters.fold(text, { base, sinceNs: 5n })).toBe('folded');
	expect([object.map('clients').count(), object.map('exported').count(), counters.clientsFolded()]).toEqual([0, 0, 1n]);
	expect(listener()?.folded).toEqual({ ...noTraffic, opened: 3n, closed: 3n, sentBytes: 600n });
	expect(listener()?.unexported).toEqual(base);
});

test('without a series, all counts stay in other', () => {
	expect(counters.fold(text, undefined)).toBe('folded');
	expect([listener()?.folded, listener()?.unexported]).toEqual([noTraffic, traffic]);
});

test('a run that a signal has restarted adds nothing, and returns the same result', () => {
	for (let run = 0; run < 2; run++) expect(counters.fold(text, undefined)).toBe('folded');
	expect([listener()?.unexported, counters.clientsFolded()]).toEqual([traffic, 1n]);
});

test.each([
	['that is not retired', { ...traffic }, 1n],
	['with an open connection', { ...traffic, opened: 6n }, 0n],
])('a client %s is not folded, and its series continues', (_, now, tag) => {
	putClient(object, key, now, { tag });
	counters.admit([{ key: text, exported: { base, sinceNs: 5n } }]);
	expect(counters.fold(text, { base, sinceNs: 5n })).toBe('refused');
	expect([...counters.readExported()]).toEqual([[text, { base, sinceNs: 5n }]]);
	expect([listener()?.folded, listener()?.unexported, counters.clientsFolded()]).toEqual([noTraffic, noTraffic, 0n]);
	const [page] = counters.readClients();
	expect([page?.length, page?.retired(0)]).toEqual([1, false]);
});

test('the entry of a series that has ended is removed, and removing it again succeeds', () => {
	counters.admit([{ key: text, exported: { base, sinceNs: 0n } }]);
	for (let call = 0; call < 2; call++) expect(counters.dropExported(text)).toBe(true);
	expect(counters.readExported().size).toBe(0);
});

test('many are admitted in one call; if the map gets full, those for which there is room', () => {
	const { maxEntries } = object.map('exported');
	const admission = (number: number, sinceNs: bigint) => ({
		key: keyOf(number).toString('latin1'),
		exported: { base: { ...base, sentBytes: BigInt(number) }, sinceNs },
	});
	const numbers = Array.from({ length: maxEntries }, (_, index) => index);
	const all = numbers.slice(1).map((number) => admission(number, 5n));
	expect(counters.admit(all)).toEqual(all.map(() => true));
	expect([...counters.readExported()].toSorted()).toEqual(all.map(({ key, exported }) => [key, exported]).toSorted());
	// the map has room for one more entry, and existing entries need none
	const more = [0, maxEntries, maxEntries + 1, 1, 2].map((number) => admission(number, 6n));
	expect(counters.admit(more)).toEqual([true, false, false, true, true]);
	expect(counters.readExported().get(more[4]?.key ?? '')).toEqual(more[4]?.exported);
	expect(object.map('exported').count()).toBe(maxEntries);
	expect(counters.admit([])).toEqual([]);
});
