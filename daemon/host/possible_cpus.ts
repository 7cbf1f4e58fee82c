// SPDX-License-Identifier: Apache-2.0
/** How many CPUs the kernel can have, which decides how many rows of counters a listener has. */
import { readFileSync } from 'node:fs';

/** Includes CPUs that are not present yet (Documentation/admin-guide/cputopology.rst). */
export function possibleCpus(): number {
	const ranges = readFileSync('/sys/devices/system/cpu/possible', 'utf8').trim().split(',');
	return ranges.reduce((sum, range) => {
		const [first = 0, last = first] = range.split('-').map(Number);
		return sum + last - first + 1;
	}, 0);
}
