// SPDX-License-Identifier: Apache-2.0
/** Errors that an operator meets: each has a stable code, says what is wrong and what to do. */

/** Exit codes of every command (docs/reference/errors.md). */
export const exitCode = { done: 0, failed: 1, usage: 2, unsupported: 3 } as const;

export const exitMeanings: Readonly<Record<(typeof exitCode)[keyof typeof exitCode], string>> = {
	0: 'Done. `run`: it was told to stop.',
	1: 'The thing asked for failed.',
	2: 'Wrong usage or configuration. Trying again without a change is of no use.',
	3: 'This host cannot do it, or not yet: `toascope doctor` says why. `lookup`, `reload`: no daemon could be asked.',
};

/**
 * Stable error codes: the exit code each leads to, and what it means (docs/reference/errors.md).
 * Operators match these, never the prose.
 */
export const errorCodes = {
	CONFIG_UNREADABLE: { exit: exitCode.unsupported, meaning: 'The configuration file is missing or cannot be read.' },
	CONFIG_INVALID: { exit: exitCode.usage, meaning: 'The configuration has an unknown key or a bad value.' },
	USAGE: { exit: exitCode.usage, meaning: 'A command was called with wrong arguments.' },
	BAD_ADDRESS: { exit: exitCode.usage, meaning: 'An argument is not an address, or not `ADDR:PORT`.' },
	ADDRESS_IN_USE: { exit: exitCode.failed, meaning: 'Another process listens on the address or the socket.' },
	ADDRESS_NOT_AVAILABLE: {
		exit: exitCode.failed,
		meaning: 'The address to listen on is not an address of this host, or not yet.',
	},
	ALREADY_RUNNING: {
		exit: exitCode.failed,
		meaning: 'Another toascope runs with the same pins, the same socket or the kernel module.',
	},
	NOT_RUNNING: { exit: exitCode.unsupported, meaning: 'No daemon answers at the address or the socket.' },
	NOT_FOUND: { exit: exitCode.failed, meaning: 'No such connection, client or file.' },
	NO_MEMORY: {
		exit: exitCode.failed,
		meaning: 'The tables do not fit in memory in the sizes of the configuration, or within a memory limit.',
	},
	BPF_FAILED: { exit: exitCode.failed, meaning: 'The kernel refused to load, attach or read a BPF object.' },
	LAB_FAILED: { exit: exitCode.failed, meaning: 'The lab of `toascope demo` could not be built or did not answer.' },
	NO_PRIVILEGE: {
		exit: exitCode.unsupported,
		meaning: 'A capability is missing, or a permission on a file or a socket.',
	},
	NO_CGROUP2: { exit: exitCode.unsupported, meaning: 'cgroup v2 is not mounted.' },
	NO_BPFFS: {
		exit: exitCode.unsupported,
		meaning: 'The BPF file system is not mounted and cannot be, or cannot be written.',
	},
	NO_BTF: { exit: exitCode.unsupported, meaning: 'The kernel carries no BTF (`/sys/kernel/btf/vmlinux`).' },
	PROVIDER_UNSUPPORTED: { exit: exitCode.unsupported, meaning: 'The provider cannot work on this host.' },
	NODE_UNSUPPORTED: {
		exit: exitCode.unsupported,
		meaning: 'This Node.js serves HTTP in a way that toascope cannot limit.',
	},
	MODULE_UNSUPPORTED: { exit: exitCode.unsupported, meaning: 'The kernel takes no modules at all.' },
	MODULE_FOREIGN: {
		exit: exitCode.unsupported,
		meaning: "A module `toa` that is not of toascope is loaded, such as a vendor's. It was left in place.",
	},
	MODULE_OTHER_VERSION: {
		exit: exitCode.failed,
		meaning: 'The `toa.ko` that is loaded is of another version of toascope.',
	},
	MODULE_NO_HEADERS: {
		exit: exitCode.unsupported,
		meaning: 'Building `toa.ko` takes the headers of the running kernel, and they are not here.',
	},
	MODULE_BUILD_FAILED: { exit: exitCode.failed, meaning: '`make` could not build `toa.ko`: its last lines follow.' },
	MODULE_VERMAGIC: { exit: exitCode.failed, meaning: '`toa.ko` was built for another kernel.' },
	MODULE_UNSIGNED: {
		exit: exitCode.unsupported,
		meaning: 'The kernel takes signed modules alone: Secure Boot, lockdown or `module.sig_enforce`.',
	},
	MODULE_LOAD_FAILED: {
		exit: exitCode.failed,
		meaning: 'The kernel did not load, or not unload, `toa.ko`: what it said follows.',
	},
	MODULE_IN_USE: { exit: exitCode.failed, meaning: '`toa.ko` cannot be unloaded: a daemon or a program uses it.' },
	MODULE_SILENT: { exit: exitCode.failed, meaning: '`toa.ko` is loaded, and does not do what it is for.' },
	MODULE_REFUSED: { exit: exitCode.failed, meaning: '`toa.ko` did not take a parameter.' },
	DKMS_FAILED: { exit: exitCode.failed, meaning: '`dkms` could not add, build or install the module.' },
	MISSING_TOOL: { exit: exitCode.unsupported, meaning: 'A program that the command needs is not installed.' },
} as const satisfies Record<string, { exit: number; meaning: string }>;

export type ErrorCode = keyof typeof errorCodes;

/** An expected failure. `message` says what is wrong; `hint` what to do about it. */
export class ToascopeError extends Error {
	override readonly name = 'ToascopeError';
	readonly code: ErrorCode;
	readonly hint: string | undefined;
	/** Lines for who looks deeper, such as the verifier's last ones. */
	readonly detail: string | undefined;

	constructor(code: ErrorCode, message: string, options: { hint?: string; detail?: string; cause?: unknown } = {}) {
		super(message, options.cause === undefined ? undefined : { cause: options.cause });
		this.code = code;
		this.hint = options.hint;
		this.detail = options.detail;
	}

	get exitCode(): number {
		return errorCodes[this.code].exit;
	}
}

/** What tells one failure from another: errno's or our code (`ENOMEM`, `BPF_FAILED`), else the kind of error. */
export function codeOfError(error: unknown): string {
	const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
	if (typeof code === 'string') return code;
	return typeof name === 'string' ? name : typeof error;
}

/** Of the system, which needs no stack: errno's name and number are on it (Node's and the addon's). */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
	if (!(error instanceof Error)) return false;
	const { code, errno } = error as NodeJS.ErrnoException;
	return typeof code === 'string' && typeof errno === 'number';
}
