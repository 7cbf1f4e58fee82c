// SPDX-License-Identifier: Apache-2.0
/** One limit of time for several steps. */
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, expect, it, vi } from 'vitest';
import { Deadline, withinMs } from '../../daemon/deadline.ts';

it('tells what ended in time from what did not', async () => {
	expect(await withinMs(Promise.resolve(), 10_000)).toBe(true);
	expect(await withinMs(new Promise(() => {}), 10)).toBe(false);
	expect(await withinMs(new Promise(() => {}), -1)).toBe(false);
});

afterEach(() => vi.useRealTimers());

it('leaves no timer that would keep the process', async () => {
	vi.useFakeTimers();
	await withinMs(Promise.resolve(), 10_000);
	await expect(withinMs(Promise.reject(new Error('no')), 10_000)).rejects.toThrow('no');
	expect(vi.getTimerCount()).toBe(0);
});

it('passes on what failed in time, and leaves alone what fails later', async () => {
	await expect(withinMs(Promise.reject(new Error('no')), 10_000)).rejects.toThrow('no');
	const late = Promise.withResolvers<void>();
	expect(await withinMs(late.promise, 1)).toBe(false);
	late.reject(new Error('late'));
	await expect(late.promise).rejects.toThrow('late');
});

it('has less and less left, and never less than nothing', async () => {
	const long = new Deadline(3_600_000);
	expect(long.leftMs).toBeLessThanOrEqual(3_600_000);
	expect(long.atMost(10)).toBe(10);
	const deadline = new Deadline(1);
	while (deadline.leftMs > 0) await delay(1);
	expect([deadline.leftMs, deadline.atMost(10)]).toEqual([0, 0]);
});
