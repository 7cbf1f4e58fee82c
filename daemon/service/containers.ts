// SPDX-License-Identifier: Apache-2.0
/** Finds the container of a process that accepted a connection, on this host. */
import { join } from 'node:path';
import { cgroupIdOf } from '../host/cgroup_id.ts';
import { findCgroup2, readMounts } from '../host/mounts.ts';
import { isInitialPidNamespace } from '../host/pid_namespace.ts';
import { CgroupPaths } from '../model/cgroup_paths.ts';
import { type ContainerResolver, createContainerResolver } from '../model/container.ts';

/** Returns the id of the container (64 hex digits). One resolver for all readers: it remembers answers. */
export function hostContainers(): ContainerResolver {
	const root = findCgroup2(readMounts());
	if (root === undefined) return createContainerResolver();
	// in another namespace, a pid does not identify the container of a process
	if (!isInitialPidNamespace()) return createContainerResolver({ cgroups: new CgroupPaths(root) });
	return createContainerResolver({ cgroupIdOf: (path) => cgroupIdOf(join(root, path)) });
}
