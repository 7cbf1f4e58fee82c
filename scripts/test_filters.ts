// SPDX-License-Identifier: Apache-2.0
/** The filters of `npm test -- FILTER...`. */

/** Directories below test/ whose names are filters for the whole suite. */
const suites: readonly string[] = ['unit', 'host', 'vm'];

/**
 * The part of a path that a filter must match. For the name of a suite, this is its directory,
 * since files of other suites contain the same word (test/host/systemd_unit.test.ts). Any other
 * filter is matched as it is.
 */
export function pathPart(filter: string): string {
	return suites.includes(filter) ? `test/${filter}/` : filter;
}
