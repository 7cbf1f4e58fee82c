// SPDX-License-Identifier: Apache-2.0
/** One time limit for several steps. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it, vi } from 'vitest';
import { Deadline, withinMs } from '../../daemon/deadline.ts';

it('withinMs() reports whether a promise settled in time', async () => {
	expect(await withinMs(Promise.resolve(), 10_000)).toBe(true);
	expect(await withinMs(new Promise(() => {}), 10)).toBe(false);
	expect(await withinMs(new Promise(() => {}), -1)).toBe(false);
});

afterEach(() => vi.useRealTimers());

it('leaves no timer behind that would keep the process alive', async () => {
	vi.useFakeTimers();
	await withinMs(Promise.resolve(), 10_000);
	await expect(withinMs(Promise.reject(new Error('no')), 10_000)).rejects.toThrow('no');
	expect(vi.getTimerCount()).toBe(0);
});

it('rethrows a failure within the limit, and ignores a later one', async () => {
	await expect(withinMs(Promise.reject(new Error('no')), 10_000)).rejects.toThrow('no');
	const late = Promise.withResolvers<void>();
	expect(await withinMs(late.promise, 1)).toBe(false);
	late.reject(new Error('late'));
	await expect(late.promise).rejects.toThrow('late');
});

it('the remaining time shrinks, and never goes below zero', async () => {
	const long = new Deadline(3_600_000);
	expect(long.remainingMs).toBeLessThanOrEqual(3_600_000);
	expect(long.atMost(10)).toBe(10);
	const deadline = new Deadline(1);
	while (deadline.remainingMs > 0) await delay(1);
	expect([deadline.remainingMs, deadline.atMost(10)]).toEqual([0, 0]);
});
