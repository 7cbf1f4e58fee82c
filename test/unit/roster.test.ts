// SPDX-License-Identifier: Apache-2.0
/** The roster against a Map that does the same, with chains that are long and numbers that come back. */
import { describe, expect, it } from 'vitest';
import { Roster, standing } from '../../daemon/model/roster.ts';

const keyLength = 4;
const keysOf = (...clients: number[]) =>
	Uint16Array.from(clients.flatMap((client) => [client >>> 3, 7, client & 7, 0]));

describe('a number', () => {
	it('is the same for the same key, wherever that stands', () => {
		const roster = new Roster(100, keyLength);
		const first = keysOf(1, 2, 3);
		const numbers = [0, 1, 2].map((index) => roster.number(first, index * keyLength));
		expect(new Set(numbers).size).toBe(3);
		const other = keysOf(3, 1, 2);
		expect([1, 2, 0].map((index) => roster.number(other, index * keyLength))).toEqual(numbers);
	});

	it('differs where the keys differ in any unit', () => {
		const roster = new Roster(100, keyLength);
		const keys = [0, 1, 2, 3].map((unit) => Uint16Array.from({ length: keyLength }, (_, at) => (at === unit ? 1 : 0)));
		expect(new Set(keys.map((key) => roster.number(key, 0))).size).toBe(keyLength);
	});

	it('is given to another when its client has left, with nothing decided', () => {
		const roster = new Roster(1, keyLength);
		const number = roster.number(keysOf(1), 0);
		roster.standings[number] = standing.other;
		roster.remove(number);
		expect(roster.number(keysOf(2), 0)).toBe(number);
		expect(roster.standings[number]).toBe(standing.new);
	});

	it('is refused beyond the capacity', () => {
		const roster = new Roster(3, keyLength);
		const keys = keysOf(1, 2, 3, 4);
		for (const index of [0, 1, 2]) roster.number(keys, index * keyLength);
		expect(() => roster.number(keys, 3 * keyLength)).toThrow(RangeError);
		expect(roster.number(keys, 2 * keyLength)).toBeGreaterThan(0);
	});
});

it.each([1, 7, 64])('does as a Map does, come and go as they may (capacity %i)', (capacity) => {
	const roster = new Roster(capacity, keyLength);
	const there = new Map<number, number>();
	let state = capacity;
	const pick = (below: number) => {
		state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
		return (state >>> 8) % below;
	};
	for (let step = 0; step < 20_000; step++) {
		const client = pick(2 * capacity);
		const had = there.get(client);
		if (had !== undefined && pick(2) === 0) {
			roster.remove(had);
			there.delete(client);
		} else if (had !== undefined || there.size < capacity) {
			const number = roster.number(keysOf(client), 0);
			expect(number).toBe(had ?? number);
			there.set(client, number);
			expect(new Set(there.values()).size).toBe(there.size);
		}
	}
});
