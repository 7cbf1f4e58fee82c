// SPDX-License-Identifier: Apache-2.0
/** The network namespace that this process is in: what `listeners.netns: host` means. */
import { statSync } from 'node:fs';

/** Its inode number (namespaces(7)), which identifies it in the BPF programs. */
export function ownNetns(): number {
	return statSync('/proc/self/ns/net').ino;
}
