// SPDX-License-Identifier: Apache-2.0
/** The cgroup whose sockets are seen: a path, behind which services remove and make directories as they restart. */
import { existsSync, statSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';
import { findCgroup2, isCgroup2, isRootCgroup, readMounts } from './mounts.ts';

/** The id that no cgroup has: inode numbers of cgroup v2 count up from 1. */
const noCgroup = 2n ** 64n - 1n;

export class ServedCgroup {
	/** Directory of cgroup v2. */
	readonly path: string;
	/** False: the sockets of a part of this host alone are seen. */
	readonly wholeHost: boolean;

	private constructor(path: string) {
		this.path = path;
		// the root is always there
		this.wholeHost = directoryId(path) !== undefined && isRootCgroup(path);
	}

	/** One that is not there yet is awaited: its id is undefined. @throws {ToascopeError} NO_CGROUP2, CONFIG_INVALID */
	static find(config: Config): ServedCgroup {
		const mounts = readMounts();
		const root = findCgroup2(mounts);
		if (root === undefined) {
			throw new ToascopeError('NO_CGROUP2', 'cgroup v2 is not mounted', {
				hint: 'mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with systemd.unified_cgroup_hierarchy=1',
			});
		}
		const path = config.cgroup ?? root;
		// a service's cgroup comes with the service
		const comes = directoryId(path) !== undefined || !existsSync(path);
		if (isCgroup2(mounts, path) && comes) return new ServedCgroup(path);
		throw new ToascopeError('CONFIG_INVALID', `cgroup: ${path} is no directory of cgroup v2`, {
			hint: `name one below ${root}, or leave the key out to serve the whole host`,
		});
	}

	/** The id of the cgroup that the path names at this moment; undefined: none. */
	get id(): bigint | undefined {
		return directoryId(this.path);
	}
}

/** The cgroup by which the programs go: 0n, the sockets of the whole host. One that is awaited has no sockets yet. */
export function servedCgroupId({ wholeHost }: Pick<ServedCgroup, 'wholeHost'>, id: bigint | undefined): bigint {
	return wholeHost ? 0n : (id ?? noCgroup);
}

/** A cgroup's id is the inode number of its directory. */
function directoryId(path: string): bigint | undefined {
	const found = statSync(path, { bigint: true, throwIfNoEntry: false });
	return found?.isDirectory() === true ? found.ino : undefined;
}
