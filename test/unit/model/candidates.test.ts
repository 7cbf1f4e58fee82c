// SPDX-License-Identifier: Apache-2.0
/** Candidates for a series: the right clients, in the right order, and a limited number of them. */
import { expect, it } from 'vitest';
import { type Candidate, Candidates, rankOf } from '../../../daemon/model/candidates.ts';
import { noTraffic } from '../../../daemon/model/traffic.ts';

const candidate = (number: number): Candidate => ({
	number,
	key: `${number}`,
	label: `${number}`,
	traffic: noTraffic,
	base: noTraffic,
	active: 0,
});

function offer(candidates: Candidates, moved: number): void {
	if (candidates.accepts(moved)) candidates.addOther(candidate(moved), moved);
}

const numbers = (candidates: Candidates) => candidates.inOrder().map(({ number }) => number);

it.each([1, 3, 10])('keeps the busiest of many, in whatever order they arrive (room for %i)', (room) => {
	const candidates = new Candidates(room);
	// 37 has no factor in common with 101: each from 1 to 100 once
	for (let step = 1; step <= 100; step++) offer(candidates, (step * 37) % 101);
	const best = Array.from({ length: room }, (_, index) => 100 - index);
	expect(numbers(candidates).slice(0, room)).toEqual(best);
	expect(numbers(candidates).length).toBeLessThan(2 * room);
});

it('rejects a client that moved less than those that already fill the room', () => {
	const candidates = new Candidates(2);
	for (const moved of [10, 9, 8, 7]) offer(candidates, moved);
	expect([9, 9.5].map((moved) => candidates.accepts(moved))).toEqual([false, true]);
});

it('ranks clients that moved data before those that did not, and the latter by their totals', () => {
	const ranks = [rankOf(2, 2), rankOf(1, 1e12), rankOf(0, 2 ** 53), rankOf(0, 1000), rankOf(0, 1), rankOf(0, 0)];
	expect(ranks).toEqual(ranks.toSorted((a, b) => b - a));
	expect(new Set(ranks).size).toBe(ranks.length);
	const candidates = new Candidates(6);
	for (const rank of ranks.toReversed()) offer(candidates, rank);
	expect(numbers(candidates)).toEqual(ranks);
});

it('puts new clients first, in order of arrival, while there is room for each', () => {
	const candidates = new Candidates(2);
	offer(candidates, 7);
	for (const number of [2, 1]) {
		expect(candidates.hasRoom).toBe(true);
		candidates.addNew(candidate(number));
	}
	expect(candidates.hasRoom).toBe(false);
	expect(numbers(candidates)).toEqual([2, 1, 7]);
});

it('accepts no client without room', () => {
	const candidates = new Candidates(0);
	expect([candidates.hasRoom, candidates.accepts(Number.MAX_VALUE)]).toEqual([false, false]);
});
