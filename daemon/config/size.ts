// SPDX-License-Identifier: Apache-2.0
/**
 * Memory sizes: `4 MiB`, `512 KiB`, or a number of bytes. The package `bytes` reads `4 MiB` as 4
 * bytes and accepts `-4 MB`, so this is not left to it.
 */
import { z } from 'zod';
import { BadValue, parsing } from './value.ts';

const unitBytes = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 } as const;
const pattern = /^(\d+) ?(KiB|MiB|GiB)$/;

/**
 * A power of two from `min` to `max` bytes, which the kernel requires for the size of a ring
 * buffer.
 */
export function powerOfTwoBytes(min: number, max: number) {
	const error = `must be a power of two from ${formatSize(min)} to ${formatSize(max)}, written as 4 MiB or as a number of bytes`;
	return parsing(z.union([z.number(), z.string().regex(pattern, { error })], { error }), (value) => {
		const bytes = parseSize(value);
		if (bytes < min || bytes > max || !Number.isInteger(Math.log2(bytes))) throw new BadValue(error);
		return bytes;
	});
}

/** The size in bytes. */
export function parseSize(value: number | string): number {
	if (typeof value === 'number') return value;
	const [, amount, unit] = pattern.exec(value) ?? [];
	return Number(amount) * unitBytes[unit as keyof typeof unitBytes];
}

/** The size with about two digits, for people: `95 MiB`, `1.5 GiB`. */
export function aboutSize(bytes: number): string {
	const unit = (['GiB', 'MiB', 'KiB'] as const).find((name) => bytes >= unitBytes[name]) ?? 'KiB';
	const amount = bytes / unitBytes[unit];
	return `${amount < 10 ? Math.round(amount * 10) / 10 : Math.round(amount)} ${unit}`;
}

/** The size in the largest unit that gives a whole number: `4 MiB`. */
export function formatSize(bytes: number): string {
	const unit = (['GiB', 'MiB', 'KiB'] as const).find((name) => bytes % unitBytes[name] === 0);
	return unit === undefined ? `${bytes}` : `${bytes / unitBytes[unit]} ${unit}`;
}
