// SPDX-License-Identifier: Apache-2.0
/**
 * Translates refusals of the kernel and failed allocations into errors for operators: what is
 * wrong, and what to do.
 */
import { readFileSync } from 'node:fs';
import { type NativeError, native } from '../../native/binding.ts';
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';

/** The configuration key that sizes a map, with its value. */
function sizeOf(map: string, { clients, connections, listeners, bpf }: Config): string | undefined {
	const byClients = `clients.capacity (${clients.capacity})`;
	const byConnections = `connections.max (${connections.max})`;
	const byListeners = `listeners.max (${listeners.max})`;
	return {
		clients: byClients,
		exported: byClients,
		connections: byConnections,
		slot_hashes: byConnections,
		change_marks: byConnections,
		listeners: byListeners,
		listener_keys: byListeners,
		listener_bases: byListeners,
		listener_index: byListeners,
		spare_listeners: byListeners,
		ring: `bpf.ring_bytes (${bpf.ringBytes})`,
	}[map];
}

/** The limits of a process that determine why the kernel refuses it. */
export interface ProcessLimits {
	/**
	 * RLIMIT_MEMLOCK in bytes, where BPF maps count against it (before Linux 5.11); undefined: no
	 * limit.
	 */
	readonly lockedBytes: number | undefined;
	/**
	 * The process is not in the initial user namespace, the only one from which the kernel accepts
	 * BPF.
	 */
	readonly inUserNamespace: boolean;
}

/** Reads `limits` and `uid_map` (proc(5)). */
function readProcessLimits(): ProcessLimits {
	return {
		lockedBytes: native().probe().features.memoryAccounting === '' ? undefined : lockedLimit(),
		inUserNamespace: !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8')),
	};
}

/** RLIMIT_MEMLOCK in bytes; undefined: no limit. */
export function lockedLimit(): number | undefined {
	const limit = /^Max locked memory\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
	return limit === undefined ? undefined : Number(limit);
}

/**
 * Converts an error of the addon, or of an allocation, to a ToascopeError: NO_PRIVILEGE, NO_MEMORY
 * or BPF_FAILED. Returns any other error unchanged.
 */
export function toOperatorError(error: unknown, config: Config, limits: ProcessLimits = readProcessLimits()): unknown {
	if (error instanceof RangeError && /alloc/i.test(error.message)) {
		return new ToascopeError('NO_MEMORY', 'this process lacks the memory for its tables of clients and listeners', {
			hint: 'lower clients.capacity or listeners.max, or raise the limit (ulimit -v, LimitAS, LimitDATA)',
			cause: error,
		});
	}
	if (error instanceof ToascopeError || !(error instanceof Error) || !('op' in error)) return error;
	const { code, log = '' } = error as NativeError;
	const map = /map '(\w+)': failed to create/.exec(log)?.[1];
	if (code === 'ENOMEM') return noMemory(error, map === undefined ? undefined : sizeOf(map, config));
	if (code === 'EPERM' && log.includes('trivial BPF program')) return bpfForbidden(error, limits);
	if (code === 'EPERM' && map !== undefined && limits.lockedBytes !== undefined) {
		const limit = `${Math.floor(limits.lockedBytes / 1024)} KiB`;
		return new ToascopeError('NO_MEMORY', `the kernel refuses the map ${map}: the limit on locked memory is ${limit}`, {
			hint: 'before Linux 5.11 maps count as locked memory: set ulimit -l unlimited or LimitMEMLOCK=infinity, or grant CAP_SYS_RESOURCE',
			cause: error,
		});
	}
	return new ToascopeError('BPF_FAILED', `${error.message} (${code})`, {
		hint:
			code === 'EPERM'
				? 'is another program attached exclusively at this cgroup, or does a security module forbid it? toascope doctor shows more'
				: 'toascope doctor shows what this kernel supports',
		...(log === '' ? {} : { detail: log }),
		cause: error,
	});
}

function noMemory(cause: Error, size: string | undefined): ToascopeError {
	const what = size === undefined ? 'the programs and maps' : `a table sized by ${size}`;
	return new ToascopeError('NO_MEMORY', `the kernel lacks the memory for ${what}`, {
		hint: `lower ${size?.split(' ', 1)[0] ?? 'clients.capacity, connections.max or bpf.ring_bytes'}; maps also count against the memory limit of a container or a service`,
		cause,
	});
}

/**
 * The kernel refuses even a program of two instructions, so the reason is this process and not what
 * it loads.
 */
function bpfForbidden(cause: Error, { lockedBytes, inUserNamespace }: ProcessLimits): ToascopeError {
	if (inUserNamespace) {
		const message = 'this process is in a user namespace, and the kernel accepts no eBPF from there';
		return new ToascopeError('NO_PRIVILEGE', message, { hint: 'run it as root of the host', cause });
	}
	const old =
		lockedBytes === undefined ? '' : '; before Linux 5.11 a low limit on locked memory does too: LimitMEMLOCK=infinity';
	return new ToascopeError('NO_PRIVILEGE', 'the kernel accepts no eBPF program from this process (EPERM)', {
		hint: `a seccomp filter, a security module or lockdown forbids bpf(2) here${old}`,
		cause,
	});
}
