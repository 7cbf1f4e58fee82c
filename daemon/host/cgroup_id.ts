// SPDX-License-Identifier: Apache-2.0
/** The ids of cgroups. */
import { statSync } from 'node:fs';

/** The id of the cgroup v2 at this directory: its inode number. Undefined: there is none. */
export function cgroupIdOf(directory: string): bigint | undefined {
	const found = statSync(directory, { bigint: true, throwIfNoEntry: false });
	return found?.isDirectory() === true ? found.ino : undefined;
}
