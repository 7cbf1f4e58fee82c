// SPDX-License-Identifier: Apache-2.0
/** The kernel's table of clients, read page by page while others write it. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Clients, clientKeyLength } from '../../daemon/capture/clients.ts';
import { clientKeyLayout, clientLayout, listenerKeyLayout } from '../../daemon/capture/layout.gen.ts';
import type { BpfObject } from '../../daemon/capture/native.ts';
import type { Traffic } from '../../daemon/model/snapshot.ts';
import type { ClientPage } from '../../daemon/model/source.ts';
import { readWords, trafficFields, trafficWords } from '../../daemon/model/traffic.ts';
import { open, optionsHere, smallObject } from '../fixtures/addon_child.ts';
import { keyOf, putClient } from '../fixtures/client_entries.ts';
import { addTo, emptySum } from '../fixtures/traffic.ts';

let object: BpfObject;

beforeEach(() => {
	object = open({ ...optionsHere(), mapEntries: { ...smallObject.mapEntries, clients: 5000 } });
});

afterEach(() => object.close());

const put = (key: Buffer, ...rest: [traffic?: Traffic, more?: Parameters<typeof putClient>[3]]) =>
	putClient(object, key, ...rest);

const numbersOf = (keys: Buffer, entries: number) =>
	Array.from({ length: entries }, (_, index) => keys.readUInt32BE(index * clientKeyLayout.size + 12));

describe('readPage()', () => {
	test.each([33, 1024, 5000])('finds everybody once in pages of at most %i, and others do not disturb', (room) => {
		const there = Array.from({ length: 3000 }, (_, index) => index);
		for (const number of there) put(keyOf(number));
		const keys = Buffer.alloc(room * clientKeyLayout.size);
		const values = Buffer.alloc(room * clientLayout.size);
		const seen: number[] = [];
		let from: number | undefined;
		let others = 0;
		do {
			const page = object.readPage('clients', keys, values, from);
			expect(page.entries).toBeLessThanOrEqual(room);
			seen.push(...numbersOf(keys, page.entries));
			from = page.next;
			for (let made = 0; made < 20; made++) {
				if (others >= 100) object.remove('clients', keyOf(10_000 + others - 100));
				put(keyOf(10_000 + others++));
			}
		} while (from !== undefined);
		expect(seen.filter((number) => number < 10_000).toSorted((a, b) => a - b)).toEqual(there);
		expect(new Set(seen).size).toBe(seen.length);
	});

	test('of an empty table is an empty page, the only one', () => {
		const [keys, values] = [Buffer.alloc(4096), Buffer.alloc(8192)];
		expect(object.readPage('clients', keys, values, undefined)).toEqual({ entries: 0, next: undefined });
	});

	test('says so where one bucket is more than a page', () => {
		for (let number = 0; number < 3000; number++) put(keyOf(number));
		const [key, value] = [Buffer.alloc(clientKeyLayout.size), Buffer.alloc(clientLayout.size)];
		const readAll = () => {
			let from: number | undefined;
			do from = object.readPage('clients', key, value, from).next;
			while (from !== undefined);
		};
		expect(readAll).toThrow(expect.objectContaining({ code: 'ENOSPC', target: 'clients' }));
	});

	test('refuses what is no hash, and buffers without room', () => {
		const room = Buffer.alloc(4096);
		expect(() => object.readPage('ledger', room, room, undefined)).toThrow(
			expect.objectContaining({ code: 'EINVAL', target: 'ledger' }),
		);
		expect(() => object.readPage('clients', Buffer.alloc(1), room, undefined)).toThrow(RangeError);
		expect(() => object.readPage('clients', room, Buffer.alloc(1), undefined)).toThrow(RangeError);
	});
});

describe('a page', () => {
	const traffic: Traffic = {
		opened: 9_007_199_254_740_993n,
		closed: 9_007_199_254_740_990n,
		receivedBytes: 2n ** 63n - 1n,
		sentBytes: 4n,
		retransmittedSegments: 5n,
		rttSumNs: 6n,
		rttCount: 7n,
		durationSumNs: 8n,
	};

	/** The only page, valid until the next call. */
	function only(): ClientPage {
		const [page, ...more] = new Clients(object).read();
		expect(more).toEqual([]);
		return page as ClientPage;
	}

	test('shows a client as the kernel keeps it', () => {
		put(keyOf(0x10001), traffic, { createdNs: 5n, activeNs: 6n });
		const page = only();
		expect(page.length).toBe(1);
		expect(page.key(0)).toBe(keyOf(0x10001).toString('latin1'));
		expect(Buffer.from(page.keys.buffer, 0, 2 * clientKeyLength)).toEqual(keyOf(0x10001));
		expect(page.label(0)).toBe('2001:db8:c::1:1');
		expect(page.endpoint(0)).toEqual({ family: 4, text: '192.0.2.1', port: 443 });
		expect(page.listener(0)).toBe(page.key(0).slice(clientKeyLayout.listener));
		expect(page.listener(0)).toHaveLength(listenerKeyLayout.size);
		expect(page.traffic(0)).toEqual(traffic);
		expect([page.createdNs(0), page.activeNs(0), page.open(0), page.retired(0)]).toEqual([5n, 6n, 3n, false]);
		expect(page.weight(0)).toBe(Number(2n ** 63n - 1n + 4n + traffic.opened));
		put(keyOf(0x10001), traffic, { tag: 0n });
		expect(only().retired(0)).toBe(true);
	});

	test.each([
		[4, 32, '32.1.13.184'],
		[4, 16, '32.1.13.184/16'],
		[6, 64, '2001:db8:c::/64'],
	])('of family %i with a prefix of %i bits', (family, length, label) => {
		const key = keyOf(0);
		key[clientKeyLayout.family] = family;
		key[clientKeyLayout.prefixLength] = length;
		put(key);
		expect(only().label(0)).toBe(label);
	});

	test('of the listener "other" has no address', () => {
		const key = keyOf(1);
		key.fill(0, clientKeyLayout.listener);
		put(key);
		expect(only().endpoint(0)).toBeUndefined();
	});

	test('copies and adds up word by word, without losing a digit', () => {
		const expected = emptySum();
		const of = (number: number) => {
			const one = trafficFields.map((field, place) => [field, 2n ** 40n * BigInt(number + 1) + BigInt(place)]);
			return Object.fromEntries(one) as unknown as Traffic;
		};
		for (let number = 0; number < 3000; number++) {
			put(keyOf(number), of(number));
			addTo(expected, of(number));
		}
		const sum = new BigUint64Array(trafficWords);
		const copy = new BigUint64Array(trafficWords + 1);
		let pages = 0;
		for (const page of new Clients(object).read()) {
			pages++;
			for (let index = 0; index < page.length; index++) {
				page.addTraffic(index, sum);
				page.copyTraffic(index, copy, 1);
				const number = Buffer.from(page.key(index), 'latin1').readUInt32BE(12);
				expect(readWords(copy, 1)).toEqual(of(number));
			}
		}
		expect(pages).toBeGreaterThan(2);
		expect(readWords(sum, 0)).toEqual(expected);
	});
});
