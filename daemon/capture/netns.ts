// SPDX-License-Identifier: Apache-2.0
/** The network namespace that this process is in: what `listeners.netns: host` means. */
import { statSync } from 'node:fs';

/** Its inode number (namespaces(7)), by which the programs know it. */
export function ownNetns(): number {
	return statSync('/proc/self/ns/net').ino;
}
