// SPDX-License-Identifier: Apache-2.0
/**
 * The paths of cgroups by their ids, from the directories of cgroup v2. Used where a pid does not
 * identify a process (in a pid namespace).
 */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/**
 * A walk uses at most this share of the time, however many cgroups there are, and runs at most once
 * a second.
 */
const walkShare = 1 / 20;
const walkEveryMs = 1000;

export class CgroupPaths {
	readonly #root: string;
	#paths = new Map<bigint, string>();
	#nextWalkMs = Number.NEGATIVE_INFINITY;

	/** `root`: a directory of cgroup v2. */
	constructor(root: string) {
		this.#root = root;
	}

	/**
	 * The path below the root, with a leading slash. Undefined if there is no such cgroup, or if it
	 * is newer than the last walk.
	 */
	of(id: bigint): string | undefined {
		const known = this.#paths.get(id);
		if (known !== undefined || performance.now() < this.#nextWalkMs) return known;
		const began = performance.now();
		// a new map, so that cgroups that are gone are forgotten
		this.#paths = new Map();
		this.#walk('/');
		const tookMs = performance.now() - began;
		this.#nextWalkMs = performance.now() + Math.max(walkEveryMs, tookMs / walkShare);
		return this.#paths.get(id);
	}

	#walk(path: string): void {
		try {
			// the inode number of the directory is the cgroup's id
			this.#paths.set(statSync(join(this.#root, path), { bigint: true }).ino, path);
			for (const entry of readdirSync(join(this.#root, path), { withFileTypes: true })) {
				if (entry.isDirectory()) this.#walk(join(path, entry.name));
			}
		} catch {
			// removed meanwhile
		}
	}
}
