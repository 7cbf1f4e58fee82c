// SPDX-License-Identifier: Apache-2.0
/** What `npm test -- FILTER...` narrows to. */

/** Directories below test/ whose names are filters of their own. */
const suites: readonly string[] = ['unit', 'host', 'vm'];

/**
 * The part of a path that a filter stands for: the name of a suite is its directory, since files of others have the same
 * word in their names (test/host/systemd_unit.test.ts). Anything else stands for itself.
 */
export function pathPart(filter: string): string {
	return suites.includes(filter) ? `test/${filter}/` : filter;
}
