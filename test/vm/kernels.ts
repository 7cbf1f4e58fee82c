// SPDX-License-Identifier: Apache-2.0
/** The kernels of the matrix: a new one is one more line. */
import { type Architecture, amd64, arm64 } from './architectures.ts';

export interface Kernel {
	/** Its name for `--kernel`. */
	readonly name: string;
	readonly architecture: Architecture;
	/** The Debian suite that has it. */
	readonly suite: string;
	/**
	 * Matches the VERSION in its package names: `linux-image-VERSION`, `linux-headers-VERSION`. The
	 * newest match is used.
	 */
	readonly version: RegExp;
	/**
	 * Where modules for it are built: here with this machine's compiler, or in a chroot of that
	 * release, whose compiler its headers need. `nowhere`: headers are not available, so only the
	 * `bpf` provider runs on it.
	 */
	readonly build: 'here' | 'trixie' | 'nowhere';
	/** Whether `npm test` includes it; `npm run test:vm` includes all. */
	readonly daily: boolean;
	/** Additional words for its command line, if it is booted in an unusual way. */
	readonly boot?: readonly string[];
	/** What runs on it, whatever the plan contains. */
	readonly only?: Work;
}

/** What runs in a guest. */
export interface Work {
	/**
	 * How often the module is loaded and unloaded under traffic; 0: the module's own tests are left
	 * out.
	 */
	readonly times: number;
	/** Path filters: which tests of test/host and test/vm/guest run. */
	readonly tests: readonly string[];
}

/** Programs cannot read the kernel's memory by address. */
const confidentiality = {
	boot: ['lockdown=confidentiality'],
	only: { times: 0, tests: ['guest/locked_down'] },
} as const;

/** As under Secure Boot: modules that are built here cannot be loaded. */
const signedOnly = {
	boot: ['lockdown=integrity', 'module.sig_enforce=1'],
	only: { times: 0, tests: ['guest/module_refused'] },
} as const;

/** Tests that depend on the architecture. Its root lacks most programs that other tests use. */
const elsewhere: Work = {
	times: 20,
	tests: ['guest/real_clients', 'host/contract_getpeername', 'host/wire_vectors'],
};

const here = { architecture: amd64, build: 'here' } as const;
const bullseye = { ...here, suite: 'bullseye', version: /^5\.10\.[\d.-]+-amd64$/ } as const;
const bookworm = { ...here, suite: 'bookworm', version: /^6\.1\.[\d.-]+-amd64$/ } as const;
const bookwormArm64 = { ...bookworm, architecture: arm64, version: /^6\.1\.[\d.-]+-arm64$/ } as const;
const backports = { ...here, suite: 'bookworm-backports', version: /^6\.12\.\d+\+deb12-amd64$/ } as const;
const trixie = { architecture: amd64, suite: 'trixie-backports' } as const;
const newest = { ...trixie, version: /^\d\S+\+deb13-amd64$/, build: 'trixie' } as const;

export const kernels: readonly Kernel[] = [
	{ ...bullseye, name: '5.10', daily: true },
	{ ...bullseye, name: '5.10-confidentiality', daily: false, ...confidentiality },
	{ ...bookworm, name: '6.1', daily: true },
	{ ...bookworm, name: '6.1-confidentiality', daily: true, ...confidentiality },
	{ ...bookworm, name: '6.1-rt', version: /^6\.1\.[\d.-]+-rt-amd64$/, daily: true },
	{ ...bookwormArm64, name: '6.1-arm64', daily: false, only: elsewhere },
	{ ...backports, name: '6.12', daily: true },
	{ ...backports, name: '6.12-confidentiality', daily: false, ...confidentiality },
	{ ...backports, name: '6.12-signed', daily: true, ...signedOnly },
	{ ...trixie, name: '6.18', version: /^6\.18\.\d+\+deb13-amd64$/, build: 'nowhere', daily: true },
	{ ...trixie, name: '7.2', version: /^7\.2\.\d+\+deb13-amd64$/, build: 'trixie', daily: false },
	{ ...newest, name: 'newest', daily: true },
	{ ...newest, name: 'newest-confidentiality', daily: false, ...confidentiality },
];
