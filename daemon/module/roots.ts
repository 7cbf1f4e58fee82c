// SPDX-License-Identifier: Apache-2.0
/** Where the kernel and the system keep what is read here; tests have trees of their own. */

export interface Roots {
	readonly sys: string;
	readonly proc: string;
	readonly etc: string;
	/** Of kernels: `lib/RELEASE`. */
	readonly modules: string;
	/** Of what is built here. */
	readonly state: string;
}

export const hostRoots: Roots = {
	sys: '/sys',
	proc: '/proc',
	etc: '/etc',
	modules: '/lib/modules',
	state: '/var/lib/toascope/module',
};
