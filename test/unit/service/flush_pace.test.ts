// SPDX-License-Identifier: Apache-2.0
/** When open connections are flushed. */
import { expect, it } from 'vitest';
import { flushMs } from '../../../daemon/service/cadence.ts';
import { FlushPace } from '../../../daemon/service/flush_pace.ts';

it('flushes at once, and again after the interval', () => {
	const pace = new FlushPace();
	expect(pace.take(100)).toBe(true);
	expect(pace.take(99 + flushMs)).toBe(false);
	expect(pace.take(100 + flushMs)).toBe(true);
});

it('flushes at the next occasion after a lookup, once', () => {
	const pace = new FlushPace();
	pace.take(100);
	pace.want();
	pace.want();
	expect(pace.take(1100)).toBe(true);
	expect(pace.take(2100)).toBe(false);
	expect(pace.take(1100 + flushMs)).toBe(true);
});
