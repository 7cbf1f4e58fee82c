// SPDX-License-Identifier: Apache-2.0
/** Times as people write them: 12:00 is that whole minute, 12:00:05 that whole second. */
import { describe, expect, it } from 'vitest';
import { formatInstant, formatLength, parseWhen } from '../../../daemon/cli/when.ts';

/** In local time, so that the tests pass in every time zone. */
const now = new Date(2026, 0, 31, 12, 0, 30);
const local = (day: number, ...time: number[]) => new Date(2026, 0, day, ...(time as [number])).getTime();

describe('parseWhen', () => {
	it.each([
		['2026-01-31T10:00:05Z', Date.UTC(2026, 0, 31, 10, 0, 5), 999],
		['2026-01-31T10:00:05.25Z', Date.UTC(2026, 0, 31, 10, 0, 5, 250), 0],
		['2026-01-31T12:00:05+02:00', Date.UTC(2026, 0, 31, 10, 0, 5), 999],
		['1769853605', 1_769_853_605_000, 999],
		['1769853605.5', 1_769_853_605_500, 0],
		['2026-01-31 11:59:05', local(31, 11, 59, 5), 999],
		['2026-01-31T11:59:05', local(31, 11, 59, 5), 999],
		['2026-01-31 11:59', local(31, 11, 59), 59_999],
		['11:59:05', local(31, 11, 59, 5), 999],
		['11:59:05.1', local(31, 11, 59, 5, 100), 0],
		['12:00', local(31, 12, 0), 59_999],
		// nginx and Apache
		['31/Jan/2026:12:00:05 +0000', Date.UTC(2026, 0, 31, 12, 0, 5), 999],
		['[31/Jan/2026:12:00:05 -0330]', Date.UTC(2026, 0, 31, 15, 30, 5), 999],
		['31/Jan/2026:11:59:05', local(31, 11, 59, 5), 999],
		// the most recent such time, not one in the future
		['12:00:31', local(30, 12, 0, 31), 999],
		['23:00', local(30, 23, 0), 59_999],
	])('reads %s', (text, fromMs, length) => {
		expect(parseWhen(text, now)).toEqual({ fromMs, toMs: fromMs + length });
	});

	it.each(['', 'now', '12:60', '24:00', '12:00:61', '2026-02-30 12:00', '2026-01-31', '31/Foo/2026:12:00:00'])(
		'%j is rejected',
		(text) => {
			expect(() => parseWhen(text, now)).toThrow(expect.objectContaining({ code: 'USAGE' }));
		},
	);
});

it.each([
	[0, '0 ms'],
	[999, '999 ms'],
	[1000, '1.0 s'],
	[9949, '9.9 s'],
	[59_940, '60 s'],
	[59_980, '1.0 min'],
	[3_599_000, '1.0 h'],
	[90 * 60_000, '1.5 h'],
	[30 * 86_400_000, '30 d'],
])('%d ms is %s', (ms, text) => {
	expect(formatLength(ms)).toBe(text);
});

it('the output of formatInstant() can be parsed again', () => {
	const formatted = formatInstant('2026-01-31T10:00:05.123456789Z');
	expect(formatted).toBe('2026-01-31T10:00:05.123Z');
	expect(parseWhen(formatted).fromMs).toBe(Date.UTC(2026, 0, 31, 10, 0, 5, 123));
});
