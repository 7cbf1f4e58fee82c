// SPDX-License-Identifier: Apache-2.0
/** Sets of local ports: `all`, or ports and ranges. */
import { z } from 'zod';
import { BadValue, parsing } from './value.ts';

/** Both ends are included. */
export interface PortRange {
	readonly first: number;
	readonly last: number;
}

/** The ranges are sorted, and neither overlap nor adjoin. */
export type Ports = 'all' | readonly PortRange[];

const entryError = 'must be a port from 1 to 65535 or a range such as 8000-8100';
const listError = 'must be all, or a list of ports and ranges such as [443, 8000-8100]';

const portNumber = z.int({ error: entryError }).min(1, { error: entryError }).max(65535, { error: entryError });

const entry = parsing(
	z.union([portNumber, z.string().regex(/^\d+ ?- ?\d+$/, { error: entryError })], { error: entryError }),
	(value) => {
		const [first = 0, last = first] = `${value}`.split('-').map(Number);
		if (first < 1 || last > 65535) throw new BadValue(entryError);
		if (first > last) throw new BadValue(`must start with the lower port: ${last}-${first}`);
		return { first, last };
	},
);

/** `all`, or a list of ports and ranges with at least one entry. */
export const ports = z
	.union([z.literal('all'), z.array(entry).min(1, { error: listError })], { error: listError })
	.transform((value): Ports => (value === 'all' ? value : merged(value)));

function merged(ranges: readonly PortRange[]): PortRange[] {
	const result: PortRange[] = [];
	for (const range of ranges.toSorted((a, b) => a.first - b.first)) {
		const before = result.at(-1);
		if (before === undefined || range.first > before.last + 1) result.push(range);
		else result[result.length - 1] = { first: before.first, last: Math.max(before.last, range.last) };
	}
	return result;
}

/** Whether the set includes the port. */
export function includesPort(set: Ports, port: number): boolean {
	return set === 'all' || set.some(({ first, last }) => port >= first && port <= last);
}

/** The set as it is written in the file. */
export function formatPorts(set: Ports): 'all' | (number | string)[] {
	if (set === 'all') return set;
	return set.map(({ first, last }) => (first === last ? first : `${first}-${last}`));
}
