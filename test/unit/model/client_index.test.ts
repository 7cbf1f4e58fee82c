// SPDX-License-Identifier: Apache-2.0
/** ClientIndex against a Map that does the same, with long hash chains and reused numbers. */
import { describe, expect, it } from 'vitest';
import { ClientIndex, clientState } from '../../../daemon/model/client_index.ts';

const keyLength = 4;
const keysOf = (...clients: number[]) =>
	Uint16Array.from(clients.flatMap((client) => [client >>> 3, 7, client & 7, 0]));

describe('a number', () => {
	it('is the same for the same key, at whatever offset', () => {
		const clients = new ClientIndex(100, keyLength);
		const first = keysOf(1, 2, 3);
		const numbers = [0, 1, 2].map((index) => clients.number(first, index * keyLength));
		expect(new Set(numbers).size).toBe(3);
		const other = keysOf(3, 1, 2);
		expect([1, 2, 0].map((index) => clients.number(other, index * keyLength))).toEqual(numbers);
	});

	it('differs where the keys differ in any unit', () => {
		const clients = new ClientIndex(100, keyLength);
		const keys = [0, 1, 2, 3].map((unit) => Uint16Array.from({ length: keyLength }, (_, at) => (at === unit ? 1 : 0)));
		expect(new Set(keys.map((key) => clients.number(key, 0))).size).toBe(keyLength);
	});

	it('is reused for another client after its client was removed, with the state new', () => {
		const clients = new ClientIndex(1, keyLength);
		const number = clients.number(keysOf(1), 0);
		clients.states[number] = clientState.other;
		clients.remove(number);
		expect(clients.number(keysOf(2), 0)).toBe(number);
		expect(clients.states[number]).toBe(clientState.new);
	});

	it('is refused beyond the capacity', () => {
		const clients = new ClientIndex(3, keyLength);
		const keys = keysOf(1, 2, 3, 4);
		for (const index of [0, 1, 2]) clients.number(keys, index * keyLength);
		expect(() => clients.number(keys, 3 * keyLength)).toThrow(RangeError);
		expect(clients.number(keys, 2 * keyLength)).toBeGreaterThan(0);
	});
});

it.each([1, 7, 64])('behaves like a Map while clients come and go (capacity %i)', (capacity) => {
	const clients = new ClientIndex(capacity, keyLength);
	const expected = new Map<number, number>();
	let state = capacity;
	const pick = (below: number) => {
		state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
		return (state >>> 8) % below;
	};
	for (let step = 0; step < 20_000; step++) {
		const client = pick(2 * capacity);
		const known = expected.get(client);
		if (known !== undefined && pick(2) === 0) {
			clients.remove(known);
			expected.delete(client);
		} else if (known !== undefined || expected.size < capacity) {
			const number = clients.number(keysOf(client), 0);
			expect(number).toBe(known ?? number);
			expected.set(client, number);
			expect(new Set(expected.values()).size).toBe(expected.size);
		}
	}
});
