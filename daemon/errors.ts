// SPDX-License-Identifier: Apache-2.0
/** Errors for operators: each has a stable code, says what is wrong and what to do. */

/** Exit codes of every command (docs/reference/errors.md). */
export const exitCode = { done: 0, failed: 1, usage: 2, unsupported: 3 } as const;

export const exitMeanings: Readonly<Record<(typeof exitCode)[keyof typeof exitCode], string>> = {
	0: 'Done. `run`: stopped by a signal.',
	1: 'The operation failed.',
	2: 'Wrong usage or configuration. Retrying without a change does not help.',
	3: 'This host cannot do it, or not yet: `toascope doctor` says why. `lookup`, `reload`: no daemon could be reached.',
};

/**
 * Stable error codes, each with its exit code and meaning (docs/reference/errors.md). Operators
 * match the codes, never the prose.
 */
export const errorCodes = {
	CONFIG_UNREADABLE: { exit: exitCode.unsupported, meaning: 'The configuration file is missing or cannot be read.' },
	CONFIG_INVALID: { exit: exitCode.usage, meaning: 'The configuration has an unknown key or a bad value.' },
	USAGE: { exit: exitCode.usage, meaning: 'A command was called with wrong arguments.' },
	BAD_ADDRESS: { exit: exitCode.usage, meaning: 'An argument is not an address, or not `ADDR:PORT`.' },
	ADDRESS_IN_USE: { exit: exitCode.failed, meaning: 'Another process is listening on the address or the socket.' },
	ADDRESS_NOT_AVAILABLE: {
		exit: exitCode.failed,
		meaning: 'The address to listen on is not assigned to this host, or not yet.',
	},
	ALREADY_RUNNING: {
		exit: exitCode.failed,
		meaning: 'Another toascope is running with the same pins, the same socket or the kernel module.',
	},
	NOT_RUNNING: { exit: exitCode.unsupported, meaning: 'No daemon is listening at the address or the socket.' },
	NOT_FOUND: { exit: exitCode.failed, meaning: 'No such connection, client or file.' },
	NO_MEMORY: {
		exit: exitCode.failed,
		meaning: 'The tables, in the configured sizes, do not fit in memory or within a memory limit.',
	},
	BPF_FAILED: { exit: exitCode.failed, meaning: 'The kernel refused to load, attach or read a BPF object.' },
	LAB_FAILED: { exit: exitCode.failed, meaning: 'The lab of `toascope demo` could not be set up or did not answer.' },
	NO_PRIVILEGE: {
		exit: exitCode.unsupported,
		meaning: 'A capability, or a permission on a file or a socket, is missing.',
	},
	NO_CGROUP2: { exit: exitCode.unsupported, meaning: 'cgroup v2 is not mounted.' },
	NO_BPFFS: {
		exit: exitCode.unsupported,
		meaning: 'The BPF file system is not mounted and cannot be mounted, or is not writable.',
	},
	NO_BTF: { exit: exitCode.unsupported, meaning: 'The kernel has no BTF (`/sys/kernel/btf/vmlinux`).' },
	PROVIDER_UNSUPPORTED: { exit: exitCode.unsupported, meaning: 'The provider cannot work on this host.' },
	NODE_UNSUPPORTED: {
		exit: exitCode.unsupported,
		meaning: 'toascope cannot enforce its HTTP limits with this version of Node.js.',
	},
	MODULE_UNSUPPORTED: { exit: exitCode.unsupported, meaning: 'The kernel is built without support for modules.' },
	MODULE_FOREIGN: {
		exit: exitCode.unsupported,
		meaning: "A module `toa` that is not toascope's, such as a vendor's, is loaded. It was left loaded.",
	},
	MODULE_OTHER_VERSION: {
		exit: exitCode.failed,
		meaning: 'The loaded `toa.ko` belongs to another version of toascope.',
	},
	MODULE_NO_HEADERS: {
		exit: exitCode.unsupported,
		meaning: 'Building `toa.ko` requires the headers of the running kernel, and they are not installed.',
	},
	MODULE_BUILD_FAILED: {
		exit: exitCode.failed,
		meaning: '`make` could not build `toa.ko`: its last lines of output follow.',
	},
	MODULE_VERMAGIC: { exit: exitCode.failed, meaning: '`toa.ko` was built for another kernel.' },
	MODULE_UNSIGNED: {
		exit: exitCode.unsupported,
		meaning: 'The kernel accepts only signed modules: Secure Boot, lockdown or `module.sig_enforce`.',
	},
	MODULE_LOAD_FAILED: {
		exit: exitCode.failed,
		meaning: 'The kernel did not load, or did not unload, `toa.ko`: its messages follow.',
	},
	MODULE_IN_USE: { exit: exitCode.failed, meaning: '`toa.ko` cannot be unloaded: a daemon or a program uses it.' },
	MODULE_SILENT: { exit: exitCode.failed, meaning: '`toa.ko` is loaded but does not deliver client addresses.' },
	MODULE_REFUSED: { exit: exitCode.failed, meaning: '`toa.ko` did not accept a parameter.' },
	DKMS_FAILED: { exit: exitCode.failed, meaning: '`dkms` could not add, build or install the module.' },
	MISSING_TOOL: { exit: exitCode.unsupported, meaning: 'A program that the command requires is not installed.' },
} as const satisfies Record<string, { exit: number; meaning: string }>;

export type ErrorCode = keyof typeof errorCodes;

/** An expected failure. `message` says what is wrong; `hint` what to do about it. */
export class ToascopeError extends Error {
	override readonly name = 'ToascopeError';
	readonly code: ErrorCode;
	readonly hint: string | undefined;
	/** Further lines for a diagnosis, such as the last ones of the verifier. */
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

/**
 * Identifies the kind of a failure: errno's name or our code (`ENOMEM`, `BPF_FAILED`), otherwise
 * the name of the error, or the type of a value that is not an error.
 */
export function codeOfError(error: unknown): string {
	const { code, name } = (error ?? {}) as { code?: unknown; name?: unknown };
	if (typeof code === 'string') return code;
	return typeof name === 'string' ? name : typeof error;
}

/**
 * Whether a failed system call is the cause, so that no stack is needed: such errors, Node's and
 * the addon's, have errno's name and number.
 */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
	if (!(error instanceof Error)) return false;
	const { code, errno } = error as NodeJS.ErrnoException;
	return typeof code === 'string' && typeof errno === 'number';
}
