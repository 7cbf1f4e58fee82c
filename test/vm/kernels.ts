// SPDX-License-Identifier: Apache-2.0
/** The kernels of the matrix: a new one is one line. */

export interface Kernel {
	/** What `--kernel` takes. */
	readonly name: string;
	/** The Debian suite that has it. */
	readonly suite: string;
	/** Of its packages' names: `linux-image-VERSION`, `linux-headers-VERSION`. The newest that matches is taken. */
	readonly version: RegExp;
	/**
	 * Where modules for it are built: here with this machine's compiler, or in a chroot of that release, whose
	 * compiler its headers need. `nowhere`: no headers are to be had, so only the `bpf` provider runs on it.
	 */
	readonly build: 'here' | 'trixie' | 'nowhere';
	/** Whether `npm test` has it; `npm run test:vm` has all. */
	readonly daily: boolean;
}

export const kernels: readonly Kernel[] = [
	{ name: '5.10', suite: 'bullseye', version: /^5\.10\.[\d.-]+-amd64$/, build: 'here', daily: true },
	{ name: '6.1', suite: 'bookworm', version: /^6\.1\.[\d.-]+-amd64$/, build: 'here', daily: true },
	{ name: '6.1-rt', suite: 'bookworm', version: /^6\.1\.[\d.-]+-rt-amd64$/, build: 'here', daily: true },
	{
		name: '6.12',
		suite: 'bookworm-backports',
		version: /^6\.12\.\d+\+deb12-amd64$/,
		build: 'here',
		daily: true,
	},
	{ name: '6.18', suite: 'trixie-backports', version: /^6\.18\.\d+\+deb13-amd64$/, build: 'nowhere', daily: true },
	{ name: '7.2', suite: 'trixie-backports', version: /^7\.2\.\d+\+deb13-amd64$/, build: 'trixie', daily: false },
	{ name: 'newest', suite: 'trixie-backports', version: /^\d\S+\+deb13-amd64$/, build: 'trixie', daily: true },
];
