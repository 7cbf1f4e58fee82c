// SPDX-License-Identifier: Apache-2.0
/**
 * Durations: `500 ms`, `15 s`, `15 min`, `2 h`, or a number of seconds. The package `ms` also
 * accepts `-5 s`, `2 d` and `SECONDS`, reads a bare `5` as milliseconds and rounds what it formats
 * (1500 ms is `2s`), so this is not left to it.
 */
import { z } from 'zod';
import { BadValue, parsing } from './value.ts';

const unitMs = { ms: 1, s: 1000, min: 60_000, h: 3_600_000 } as const;
const pattern = /^(\d+(?:\.\d+)?) ?(ms|s|min|h)$/;

/** A duration from `minMs` to `maxMs`, in milliseconds. */
export function duration(minMs: number, maxMs: number) {
	const error =
		`must be from ${formatDuration(minMs)} to ${formatDuration(maxMs)}, ` +
		'written as 500 ms, 15 s, 15 min or 2 h, or as a number of seconds';
	return parsing(z.union([z.number(), z.string().regex(pattern, { error })], { error }), (value) => {
		const ms = parseDuration(value);
		if (!Number.isInteger(ms) || ms < minMs || ms > maxMs) throw new BadValue(error);
		return ms;
	});
}

/**
 * Milliseconds; NaN when the text is not a duration. Decimal fractions are exact to the
 * millisecond.
 */
function parseDuration(value: number | string): number {
	const [, amount, unit] = typeof value === 'number' ? ['', value, 's'] : (pattern.exec(value) ?? []);
	if (amount === undefined) return Number.NaN;
	const ms = Number(amount) * unitMs[unit as keyof typeof unitMs];
	// rounded so that the caller accepts 1.1 s (1100.0000000000001), but still refuses 0.0015 s
	return Math.abs(ms - Math.round(ms)) < 1e-6 ? Math.round(ms) : ms;
}

/** The duration in the largest unit that gives a whole number: `15 min`. */
export function formatDuration(ms: number): string {
	if (ms === 0) return '0 s';
	const unit = (['h', 'min', 's'] as const).find((name) => ms % unitMs[name] === 0) ?? 'ms';
	return `${ms / unitMs[unit]} ${unit}`;
}
