// SPDX-License-Identifier: Apache-2.0
/** How many processors the kernel can have, by which listeners have rows of counters. */
import { readFileSync } from 'node:fs';

/** Also those that are not there yet (Documentation/admin-guide/cputopology.rst). */
export function possibleCpus(): number {
	const ranges = readFileSync('/sys/devices/system/cpu/possible', 'utf8').trim().split(',');
	return ranges.reduce((sum, range) => {
		const [first = 0, last = first] = range.split('-').map(Number);
		return sum + last - first + 1;
	}, 0);
}
