// SPDX-License-Identifier: Apache-2.0
/** Times of the API: RFC 3339 with nanoseconds, so that a displayed time finds its connection. */

/** The text of whole seconds: of a thousand connections, many share theirs. */
const seconds = new Map<number, string>();
const secondsMax = 1000;

/** Nanoseconds since 1970 as `2026-01-31T12:00:00.123456789Z`. */
export function formatTime(unixNs: bigint): string {
	const restNs = ((unixNs % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
	return `${formatSecond(Number((unixNs - restNs) / 1_000_000_000n))}.${restNs.toString().padStart(9, '0')}Z`;
}

function formatSecond(second: number): string {
	let text = seconds.get(second);
	if (text === undefined) {
		text = new Date(1000 * second).toISOString().slice(0, 19);
		if (seconds.size >= secondsMax) seconds.clear();
		seconds.set(second, text);
	}
	return text;
}

/**
 * Reads RFC 3339, or seconds since 1970 with up to nine decimals.
 *
 * @returns nanoseconds since 1970; undefined if the text is neither
 */
export function parseTime(text: string): bigint | undefined {
	const unix = /^(\d{1,11})(?:\.(\d{1,9}))?$/.exec(text);
	if (unix !== null) return BigInt(unix[1] ?? 0) * 1_000_000_000n + fractionNs(unix[2]);
	// a plus sign that was not percent-encoded arrives as a space
	const rfc = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+\- ])(\d\d):(\d\d))$/.exec(text);
	if (rfc === null) return undefined;
	const [, date = '', time = '', fraction, sign, hours = '0', minutes = '0'] = rfc;
	const utcMs = Date.parse(`${date}T${time}Z`);
	if (Number.isNaN(utcMs) || new Date(utcMs).toISOString().slice(0, 19) !== `${date}T${time}`) return undefined;
	if (Number(hours) > 23 || Number(minutes) > 59) return undefined;
	const offsetMs = (Number(hours) * 60 + Number(minutes)) * 60_000 * (sign === '-' ? -1 : 1);
	return BigInt(utcMs - offsetMs) * 1_000_000n + fractionNs(fraction);
}

function fractionNs(digits = ''): bigint {
	return BigInt(digits.padEnd(9, '0'));
}
