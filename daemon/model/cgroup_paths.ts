// SPDX-License-Identifier: Apache-2.0
/** The paths of cgroups by their ids, from the directories of cgroup v2: where the number of a process says nothing. */
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

/** A walk takes so small a part of the time, however many cgroups there are; and at most one a second. */
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

	/** The path below the root, with a slash at its begin; undefined: there is none, or it is too new. */
	of(id: bigint): string | undefined {
		const known = this.#paths.get(id);
		if (known !== undefined || performance.now() < this.#nextWalkMs) return known;
		const begun = performance.now();
		// those that are gone are forgotten with it
		this.#paths = new Map();
		this.#walk('/');
		const tookMs = performance.now() - begun;
		this.#nextWalkMs = performance.now() + Math.max(walkEveryMs, tookMs / walkShare);
		return this.#paths.get(id);
	}

	#walk(path: string): void {
		try {
			// the number of the directory's inode is the cgroup's id
			this.#paths.set(statSync(join(this.#root, path), { bigint: true }).ino, path);
			for (const entry of readdirSync(join(this.#root, path), { withFileTypes: true })) {
				if (entry.isDirectory()) this.#walk(join(path, entry.name));
			}
		} catch {
			// removed meanwhile
		}
	}
}
