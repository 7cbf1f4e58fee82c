// SPDX-License-Identifier: Apache-2.0
/** Who may get a series: the right ones, in the right order, and no more than there are places. */
import { expect, it } from 'vitest';
import { type Candidate, Candidates } from '../../daemon/model/candidates.ts';
import { noTraffic } from '../../daemon/model/traffic.ts';

const candidate = (number: number): Candidate => ({
	number,
	key: `${number}`,
	label: `${number}`,
	traffic: noTraffic,
	base: noTraffic,
});

function offer(candidates: Candidates, moved: number): void {
	if (candidates.wants(moved)) candidates.addBusy(candidate(moved), moved);
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

it('who has not moved is none', () => {
	const candidates = new Candidates(5);
	offer(candidates, 0);
	offer(candidates, 1);
	expect(numbers(candidates)).toEqual([1]);
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
