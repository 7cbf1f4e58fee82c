// SPDX-License-Identifier: Apache-2.0
/**
 * Reports at once when a cgroup is created or removed at a path, because connections that open
 * before the next check would be missed. If the path cannot be watched because the parent directory
 * is gone too, the check notices the change.
 */
import { type FSWatcher, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

export class CgroupWatch {
	readonly #path: string;
	readonly #onChange: () => void;
	#watcher: FSWatcher | undefined;
	/** Inode number of the parent directory when the watch began. */
	#parentInode: bigint | undefined;

	constructor(path: string, onChange: () => void) {
		this.#path = path;
		this.#onChange = onChange;
		this.renew();
	}

	/** Call this when the watch might have ended with the removal of the parent directory. */
	renew(): void {
		const parentInode = statSync(dirname(this.#path), { bigint: true, throwIfNoEntry: false })?.ino;
		if (this.#watcher !== undefined && parentInode === this.#parentInode) return;
		this.close();
		this.#parentInode = parentInode;
		try {
			this.#watcher = watch(dirname(this.#path), { persistent: false }, (_event, name) => {
				if (name === basename(this.#path)) this.#onChange();
			});
			this.#watcher.on('error', () => this.close());
		} catch {
			// the parent directory does not exist
		}
	}

	close(): void {
		this.#watcher?.close();
		this.#watcher = undefined;
	}
}
