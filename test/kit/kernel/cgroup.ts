// SPDX-License-Identifier: Apache-2.0
/** Real cgroups (v2) for a test, below a cgroup of its own. */
import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { findCgroup2, readMounts } from '../../../daemon/host/mounts.ts';
import type { Lab } from '../../../daemon/lab/lab.ts';

export class Cgroups implements AsyncDisposable {
	/** The directory of the cgroup that contains the others. */
	readonly root: string;

	private constructor(root: string) {
		this.root = root;
	}

	static open(): Cgroups {
		const mount = findCgroup2(readMounts());
		if (mount === undefined) throw new Error('cgroup v2 is not mounted');
		// remove the cgroups of tests that were killed
		for (const name of readdirSync(mount)) {
			const [, pid] = /^toascope-test-(\d+)-/.exec(name) ?? [];
			if (pid !== undefined && !existsSync(`/proc/${pid}`)) remove(join(mount, name));
		}
		return new Cgroups(mkdtempSync(join(mount, `toascope-test-${process.pid}-`)));
	}

	/** Makes a cgroup and those above it. Returns its directory. */
	make(path: string): string {
		const directory = join(this.root, path);
		mkdirSync(directory, { recursive: true });
		return directory;
	}

	/** Removes all of them as soon as the last process has left. */
	[Symbol.asyncDispose](): Promise<void> {
		return removeCgroup(this.root);
	}
}

/** Removes a cgroup and those below it as soon as the last process has left. */
export async function removeCgroup(directory: string): Promise<void> {
	for (;;) {
		try {
			remove(directory);
			return;
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
			await new Promise((resolve) => setTimeout(resolve, 10));
		}
	}
}

/** Removes a cgroup and those below it. Its files disappear with it. */
function remove(directory: string): void {
	for (const entry of readdirSync(directory, { withFileTypes: true })) {
		if (entry.isDirectory()) remove(join(directory, entry.name));
	}
	rmdirSync(directory);
}

/** The id of a cgroup in the kernel. */
export function cgroupId(directory: string): string {
	return String(statSync(directory, { bigint: true }).ino);
}

/**
 * Starts a command in the lab's server namespace and in a cgroup. `contained`: also in a new cgroup
 * namespace, in which its cgroup appears as the root.
 */
export function spawnIn(lab: Lab, cgroup: string, command: readonly string[], contained = false): ChildProcess {
	const script = 'echo $$ >"$0/cgroup.procs" && exec "$@"';
	const enter = contained ? ['unshare', '--cgroup', '--'] : [];
	return lab.spawn('server', 'sh', ['-c', script, cgroup, ...enter, ...command], { stdio: 'pipe' });
}
