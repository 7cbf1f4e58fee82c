// SPDX-License-Identifier: Apache-2.0
/** The kernel's client table, read page by page while entries are added and removed. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Clients, clientKeyLength } from '../../daemon/capture/maps/clients.ts';
import { clientKeyLayout, clientLayout, listenerKeyLayout } from '../../daemon/capture/records/layout.gen.ts';
import type { ClientPage } from '../../daemon/model/source.ts';
import type { Traffic } from '../../daemon/model/traffic.ts';
import { readWords, trafficFields, trafficWords } from '../../daemon/model/traffic.ts';
import type { BpfObject } from '../../native/binding.ts';
import { open, optionsHere, smallObject } from '../kit/kernel/addon_child.ts';
import { keyOf, putClient } from '../kit/kernel/client_entries.ts';
import { addTo, emptySum } from '../kit/model/traffic.ts';

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
	test.each([33, 1024, 5000])('finds every entry once in pages of at most %i, while others come and go', (room) => {
		const existing = Array.from({ length: 3000 }, (_, index) => index);
		for (const number of existing) put(keyOf(number));
		const keys = Buffer.alloc(room * clientKeyLayout.size);
		const values = Buffer.alloc(room * clientLayout.size);
		const seen: number[] = [];
		let from: number | undefined;
		let added = 0;
		do {
			const page = object.map('clients').readPage(keys, values, from);
			expect(page.entries).toBeLessThanOrEqual(room);
			seen.push(...numbersOf(keys, page.entries));
			from = page.next;
			for (let made = 0; made < 20; made++) {
				if (added >= 100) object.map('clients').remove(keyOf(10_000 + added - 100));
				put(keyOf(10_000 + added++));
			}
		} while (from !== undefined);
		expect(seen.filter((number) => number < 10_000).toSorted((a, b) => a - b)).toEqual(existing);
		expect(new Set(seen).size).toBe(seen.length);
	});

	test('of an empty table returns one empty page', () => {
		const [keys, values] = [Buffer.alloc(4096), Buffer.alloc(8192)];
		expect(object.map('clients').readPage(keys, values, undefined)).toEqual({ entries: 0, next: undefined });
	});

	test('fails with ENOSPC if a bucket does not fit into a page', () => {
		for (let number = 0; number < 3000; number++) put(keyOf(number));
		const [key, value] = [Buffer.alloc(clientKeyLayout.size), Buffer.alloc(clientLayout.size)];
		const readAll = () => {
			let from: number | undefined;
			do from = object.map('clients').readPage(key, value, from).next;
			while (from !== undefined);
		};
		expect(readAll).toThrow(expect.objectContaining({ code: 'ENOSPC', target: 'clients' }));
	});

	test('refuses a map that is not a hash, and buffers that are too small', () => {
		const room = Buffer.alloc(4096);
		expect(() => object.map('meta').readPage(room, room, undefined)).toThrow(
			expect.objectContaining({ code: 'EINVAL', target: 'meta' }),
		);
		expect(() => object.map('clients').readPage(Buffer.alloc(1), room, undefined)).toThrow(RangeError);
		expect(() => object.map('clients').readPage(room, Buffer.alloc(1), undefined)).toThrow(RangeError);
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

	/** The only page of the table, valid until the next call. */
	function only(): ClientPage {
		const [page, ...more] = new Clients(object).read();
		expect(more).toEqual([]);
		return page as ClientPage;
	}

	test('shows a client as the kernel stores it', () => {
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
	])('labels a client of family %i with a prefix of %i bits as %s', (family, length, label) => {
		const key = keyOf(0);
		key[clientKeyLayout.family] = family;
		key[clientKeyLayout.prefixLength] = length;
		put(key);
		expect(only().label(0)).toBe(label);
	});

	test('has no address for the listener "other"', () => {
		const key = keyOf(1);
		key.fill(0, clientKeyLayout.listener);
		put(key);
		expect(only().endpoint(0)).toBeUndefined();
	});

	test('copies and adds word by word, without losing a digit', () => {
		const expected = emptySum();
		const of = (number: number) => {
			const one = trafficFields.map((field, index) => [field, 2n ** 40n * BigInt(number + 1) + BigInt(index)]);
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
