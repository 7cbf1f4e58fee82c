// SPDX-License-Identifier: Apache-2.0
/**
 * Tells at once when a cgroup is made or removed at a path: connections that open before the next check would be missed. Where it
 * cannot be watched, since what is above it is gone too, the check finds out.
 */
import { type FSWatcher, statSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

export class CgroupWatch {
	readonly #path: string;
	readonly #onChange: () => void;
	#watcher: FSWatcher | undefined;
	/** Inode number of the directory above, as it was when it began to be watched. */
	#above: bigint | undefined;

	constructor(path: string, onChange: () => void) {
		this.#path = path;
		this.#onChange = onChange;
		this.renew();
	}

	/** To be called when it may have been lost with the directory above. */
	renew(): void {
		const above = statSync(dirname(this.#path), { bigint: true, throwIfNoEntry: false })?.ino;
		if (this.#watcher !== undefined && above === this.#above) return;
		this.close();
		this.#above = above;
		try {
			this.#watcher = watch(dirname(this.#path), { persistent: false }, (_event, name) => {
				if (name === basename(this.#path)) this.#onChange();
			});
			this.#watcher.on('error', () => this.close());
		} catch {
			// it is not there
		}
	}

	close(): void {
		this.#watcher?.close();
		this.#watcher = undefined;
	}
}
