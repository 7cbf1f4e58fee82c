// SPDX-License-Identifier: Apache-2.0
/** What toa.ko counts: /proc/net/toa_counters, and /proc/net/toa_stats as the vendor's module lays it out. */
import { join } from 'node:path';
import { readText } from './loaded.ts';
import { hostRoots } from './roots.ts';

/** Lines `NAME NUMBER`. */
export function parseCounters(text: string): Record<string, bigint> {
	const lines = text.matchAll(/^(\w+) (\d+)$/gm);
	return Object.fromEntries([...lines].map(([, name = '', value = '0']) => [name, BigInt(value)]));
}

/** Rows `NAME : NUMBER NUMBER ...`, a column for each CPU: their sums. */
export function parseStats(text: string): Record<string, bigint> {
	const rows = text.matchAll(/^(\w+) *:((?: +\d+)+) *$/gm);
	return Object.fromEntries(
		[...rows].map(([, name = '', columns = '']) => [
			name,
			columns
				.trim()
				.split(/ +/)
				.reduce((sum, column) => sum + BigInt(column), 0n),
		]),
	);
}

/** Both, of this network namespace's /proc: the files are in the initial one. Empty where the module is gone. */
export function readEvents({ proc } = hostRoots): Record<string, bigint> {
	return {
		...parseCounters(readText(join(proc, 'net/toa_counters')) ?? ''),
		...parseStats(readText(join(proc, 'net/toa_stats')) ?? ''),
	};
}
