// SPDX-License-Identifier: Apache-2.0
/** Who may get a series: the right ones, in the right order, and no more than there are places. */
import { expect, it } from 'vitest';
import { type Candidate, Candidates, rankOf } from '../../daemon/model/candidates.ts';
import { noTraffic } from '../../daemon/model/traffic.ts';

const candidate = (number: number): Candidate => ({
	number,
	key: `${number}`,
	label: `${number}`,
	traffic: noTraffic,
	base: noTraffic,
	active: 0,
});

function offer(candidates: Candidates, moved: number): void {
	if (candidates.wants(moved)) candidates.addOther(candidate(moved), moved);
}

const numbers = (candidates: Candidates) => candidates.inOrder().map(({ number }) => number);

it.each([1, 3, 10])('the busiest of many, as they may come (%i places)', (places) => {
	const candidates = new Candidates(places);
	// 37 has no factor in common with 101: each from 1 to 100 once
	for (let step = 1; step <= 100; step++) offer(candidates, (step * 37) % 101);
	const best = Array.from({ length: places }, (_, index) => 100 - index);
	expect(numbers(candidates).slice(0, places)).toEqual(best);
	expect(numbers(candidates).length).toBeLessThan(2 * places);
});

it('one that moved less than as many as there are places is not wanted any more', () => {
	const candidates = new Candidates(2);
	for (const moved of [10, 9, 8, 7]) offer(candidates, moved);
	expect([9, 9.5].map((moved) => candidates.wants(moved))).toEqual([false, true]);
});

it('ranks any that has moved before any that has not, and those by what they have done in all', () => {
	const ranks = [rankOf(2, 2), rankOf(1, 1e12), rankOf(0, 2 ** 53), rankOf(0, 1000), rankOf(0, 1), rankOf(0, 0)];
	expect(ranks).toEqual(ranks.toSorted((a, b) => b - a));
	expect(new Set(ranks).size).toBe(ranks.length);
	const candidates = new Candidates(6);
	for (const rank of ranks.toReversed()) offer(candidates, rank);
	expect(numbers(candidates)).toEqual(ranks);
});

it('new ones first, as they came, while there is a place for each', () => {
	const candidates = new Candidates(2);
	offer(candidates, 7);
	for (const number of [2, 1]) {
		expect(candidates.open).toBe(true);
		candidates.addFresh(candidate(number));
	}
	expect(candidates.open).toBe(false);
	expect(numbers(candidates)).toEqual([2, 1, 7]);
});

it('without a place nobody is', () => {
	const candidates = new Candidates(0);
	expect([candidates.open, candidates.wants(Number.MAX_VALUE)]).toEqual([false, false]);
});
