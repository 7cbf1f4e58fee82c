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
	/** How it is booted, where that is not as usual: what is tested then is that. */
	readonly boot?: Boot;
}

export interface Boot {
	/** More for its command line. */
	readonly arguments: readonly string[];
	/** Filters of paths: these tests alone run. */
	readonly tests: readonly string[];
}

/** Programs may not read the kernel's memory by address. */
const confidentiality: Boot = {
	arguments: ['lockdown=confidentiality'],
	tests: ['guest/locked_down', 'host/accept_owner', 'host/section5_getpeername'],
};

/** As under Secure Boot: nothing that is built here can be loaded. */
const signedOnly: Boot = {
	arguments: ['lockdown=integrity', 'module.sig_enforce=1'],
	tests: ['guest/module_refused'],
};

const bullseye = { suite: 'bullseye', version: /^5\.10\.[\d.-]+-amd64$/, build: 'here' } as const;
const bookworm = { suite: 'bookworm', version: /^6\.1\.[\d.-]+-amd64$/, build: 'here' } as const;
const backports = { suite: 'bookworm-backports', version: /^6\.12\.\d+\+deb12-amd64$/, build: 'here' } as const;
const newest = { suite: 'trixie-backports', version: /^\d\S+\+deb13-amd64$/, build: 'trixie' } as const;

export const kernels: readonly Kernel[] = [
	{ ...bullseye, name: '5.10', daily: true },
	{ ...bullseye, name: '5.10-confidentiality', daily: false, boot: confidentiality },
	{ ...bookworm, name: '6.1', daily: true },
	{ ...bookworm, name: '6.1-confidentiality', daily: true, boot: confidentiality },
	{ ...bookworm, name: '6.1-rt', version: /^6\.1\.[\d.-]+-rt-amd64$/, daily: true },
	{ ...backports, name: '6.12', daily: true },
	{ ...backports, name: '6.12-confidentiality', daily: false, boot: confidentiality },
	{ ...backports, name: '6.12-signed', daily: true, boot: signedOnly },
	{ name: '6.18', suite: 'trixie-backports', version: /^6\.18\.\d+\+deb13-amd64$/, build: 'nowhere', daily: true },
	{ name: '7.2', suite: 'trixie-backports', version: /^7\.2\.\d+\+deb13-amd64$/, build: 'trixie', daily: false },
	{ ...newest, name: 'newest', daily: true },
	{ ...newest, name: 'newest-confidentiality', daily: false, boot: confidentiality },
];
