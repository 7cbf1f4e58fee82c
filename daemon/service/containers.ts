// SPDX-License-Identifier: Apache-2.0
/** Finds the container of a process that accepted a connection, on this host. */
import { findCgroup2, readMounts } from '../host/mounts.ts';
import { isInitialPidNamespace } from '../host/pid_namespace.ts';
import { CgroupPaths } from '../model/cgroup_paths.ts';
import type { Owner } from '../model/connection.ts';
import { createContainerResolver } from '../model/container.ts';

/** Returns the id of the container (64 hex digits). One resolver for all readers: it remembers answers. */
export function hostContainers(): (owner: Owner) => string | undefined {
	return createContainerResolver({ cgroups: cgroupPaths() });
}

/** Set where a pid does not identify the container of a process. */
function cgroupPaths(): CgroupPaths | undefined {
	if (isInitialPidNamespace()) return undefined;
	const root = findCgroup2(readMounts());
	return root === undefined ? undefined : new CgroupPaths(root);
}
