// SPDX-License-Identifier: Apache-2.0
/** The directories of the kernel's and the system's files; tests use trees of their own. */

export interface Roots {
	readonly sys: string;
	readonly proc: string;
	readonly etc: string;
	/** The modules of kernels, one directory for each release. */
	readonly modules: string;
	/** The modules that were built on this host. */
	readonly state: string;
}

export const hostRoots: Roots = {
	sys: '/sys',
	proc: '/proc',
	etc: '/etc',
	modules: '/lib/modules',
	state: '/var/lib/toascope/module',
};
