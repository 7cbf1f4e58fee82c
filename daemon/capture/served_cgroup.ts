// SPDX-License-Identifier: Apache-2.0
/**
 * The cgroup whose sockets are observed: a path, at which services remove and create directories as
 * they restart.
 */
import { existsSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';
import { cgroupIdOf } from '../host/cgroup_id.ts';
import { findCgroup2, isCgroup2, isRootCgroup, readMounts } from '../host/mounts.ts';

/** An id that no cgroup has: inode numbers of cgroup v2 count up from 1. */
const noCgroup = 2n ** 64n - 1n;

export class ServedCgroup {
	/** A cgroup v2 directory. */
	readonly path: string;
	/** False: only the sockets of a part of this host are observed. */
	readonly wholeHost: boolean;

	private constructor(path: string) {
		this.path = path;
		// the root always exists
		this.wholeHost = cgroupIdOf(path) !== undefined && isRootCgroup(path);
	}

	/**
	 * Finds the cgroup of the configuration. If it does not exist yet, its id is undefined.
	 * @throws {ToascopeError} NO_CGROUP2, CONFIG_INVALID
	 */
	static find(config: Config): ServedCgroup {
		const mounts = readMounts();
		const root = findCgroup2(mounts);
		if (root === undefined) {
			throw new ToascopeError('NO_CGROUP2', 'cgroup v2 is not mounted', {
				hint: 'mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with systemd.unified_cgroup_hierarchy=1',
			});
		}
		const path = config.cgroup ?? root;
		// the cgroup of a service exists only once the service has started
		const isUsable = cgroupIdOf(path) !== undefined || !existsSync(path);
		if (isCgroup2(mounts, path) && isUsable) return new ServedCgroup(path);
		throw new ToascopeError('CONFIG_INVALID', `cgroup: ${path} is not a cgroup v2 directory`, {
			hint: `name one below ${root}, or omit the key to serve the whole host`,
		});
	}

	/** The id of the cgroup that the path refers to at this moment; undefined: there is none. */
	get id(): bigint | undefined {
		return cgroupIdOf(this.path);
	}
}

/**
 * The cgroup id for the settings of the programs; 0n: the sockets of the whole host. A cgroup that
 * does not exist yet has no sockets, so its id matches none.
 */
export function servedCgroupId({ wholeHost }: Pick<ServedCgroup, 'wholeHost'>, id: bigint | undefined): bigint {
	return wholeHost ? 0n : (id ?? noCgroup);
}
