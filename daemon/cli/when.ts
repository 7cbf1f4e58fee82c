// SPDX-License-Identifier: Apache-2.0
/** Parses times as users copy them from a log, and formats times for people. */

import { parseTime } from '../api/time.ts';
import { ToascopeError } from '../errors.ts';

/** From `fromMs` to `toMs`, both included: Unix milliseconds. */
export interface Span {
	readonly fromMs: number;
	readonly toMs: number;
}

/** The format of web server logs: nginx' $time_local, Apache's %t. */
const logged = /^\[?(\d\d)\/([A-Z][a-z]{2})\/(\d{4}):(\d\d:\d\d:\d\d)(?: ([+-]\d\d)(\d\d))?\]?$/;
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** A time of a web server's log as `2026-01-31T12:00:00+00:00`; any other text unchanged. */
function fromLogFormat(text: string): string {
	const [, day, name = '', year, time, hours, minutes] = logged.exec(text) ?? [];
	const month = months.indexOf(name) + 1;
	if (month === 0) return text;
	const zone = hours === undefined ? '' : `${hours}:${minutes}`;
	return `${year}-${String(month).padStart(2, '0')}-${day}T${time}${zone}`;
}

const local = /^(?:(\d{4})-(\d\d)-(\d\d)[T ])?(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,3}))?)?$/;

/**
 * Parses RFC 3339, seconds since 1970, a web server's `31/Jan/2026:12:00:00 +0000`, or local time:
 * `2026-01-31 12:00:00`, `12:00:00`, `12:00` (the most recent one). The span covers what the text
 * leaves open, such as milliseconds.
 *
 * @throws {ToascopeError} USAGE
 */
export function parseWhen(text: string, now: Date = new Date()): Span {
	const plain = fromLogFormat(text.trim());
	const unixNs = parseTime(plain);
	if (unixNs !== undefined) {
		const fromMs = Number(unixNs / 1_000_000n);
		return { fromMs, toMs: fromMs + (plain.includes('.') ? 0 : 999) };
	}
	const parts = local.exec(plain);
	const span = parts === null ? undefined : localSpan(parts, now);
	if (span !== undefined) return span;
	throw new ToascopeError('USAGE', `'${text.slice(0, 40)}' is not a time`, {
		hint: 'write 12:00:05 or 2026-01-31 12:00:05 (local), 2026-01-31T12:00:05Z, 31/Jan/2026:12:00:05 +0000, or seconds since 1970',
	});
}

function localSpan([, year, month, day, hour, minute, second, fraction]: RegExpExecArray, now: Date): Span | undefined {
	const date = new Date(now);
	if (year !== undefined) date.setFullYear(Number(year), Number(month) - 1, Number(day));
	date.setHours(Number(hour), Number(minute), Number(second ?? 0), Number((fraction ?? '').padEnd(3, '0')));
	const isExact =
		date.getHours() === Number(hour) &&
		date.getMinutes() === Number(minute) &&
		(day === undefined || (date.getDate() === Number(day) && date.getMonth() === Number(month) - 1));
	if (!isExact) return undefined;
	if (year === undefined && date > now) date.setDate(date.getDate() - 1);
	const length = fraction !== undefined ? 0 : second !== undefined ? 999 : 59_999;
	return { fromMs: date.getTime(), toMs: date.getTime() + length };
}

/** `2026-01-31T12:00:00.123Z`: with milliseconds, in a form that --at accepts. */
export function formatInstant(rfc3339: string): string {
	return new Date(rfc3339).toISOString();
}

/** `350 ms`, `4.2 s`, `12 min`, `3.5 h`, `12 d` */
export function formatLength(ms: number): string {
	const units = [
		['d', 86_400_000],
		['h', 3_600_000],
		['min', 60_000],
		['s', 1000],
	] as const;
	// 59.95 s would be rounded to 60.0 s
	const [unit, size] = units.find(([, each]) => ms >= each * 0.9995) ?? (['ms', 1] as const);
	const amount = ms / size;
	return `${unit === 'ms' || amount >= 9.95 ? Math.round(amount) : amount.toFixed(1)} ${unit}`;
}
