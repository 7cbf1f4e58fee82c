// SPDX-License-Identifier: Apache-2.0
/** What the kernel or the memory refused, as an operator's error: what is wrong, what to do. */
import { readFileSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';
import { type NativeError, native } from './native.ts';

/** The key that sizes a map, and what it says. */
function sizeOf(map: string, { clients, connections, listeners, bpf }: Config): string | undefined {
	const byClients = `clients.capacity (${clients.capacity})`;
	const byConnections = `connections.max (${connections.max})`;
	const byListeners = `listeners.max (${listeners.max})`;
	return {
		clients: byClients,
		exported: byClients,
		connections: byConnections,
		peer_tags: byConnections,
		listeners: byListeners,
		listener_keys: byListeners,
		listener_bases: byListeners,
		listener_places: byListeners,
		spare_listeners: byListeners,
		ring: `bpf.ring_bytes (${bpf.ringBytes})`,
	}[map];
}

/** What a process is allowed, as far as its refusals depend on it. */
export interface Allowance {
	/** RLIMIT_MEMLOCK in bytes, where BPF maps count against it (before Linux 5.11); undefined: no limit. */
	readonly lockedBytes: number | undefined;
	/** It is not in the initial user namespace, the only one from which the kernel takes BPF. */
	readonly inUserNamespace: boolean;
}

/** Reads proc(5) limits and uid_map. */
export function readAllowance(): Allowance {
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
 * An error of the addon, or of an allocation, as a ToascopeError: NO_PRIVILEGE, NO_MEMORY or BPF_FAILED. Any other error
 * as it is.
 */
export function explain(error: unknown, config: Config, allowance: Allowance = readAllowance()): unknown {
	if (error instanceof RangeError && /alloc/i.test(error.message)) {
		return new ToascopeError('NO_MEMORY', 'this process has no memory for its tables of clients and listeners', {
			hint: 'lower clients.capacity or listeners.max, or raise the limit (ulimit -v, LimitAS, LimitDATA)',
			cause: error,
		});
	}
	if (error instanceof ToascopeError || !(error instanceof Error) || !('op' in error)) return error;
	const { code, log = '' } = error as NativeError;
	const map = /map '(\w+)': failed to create/.exec(log)?.[1];
	if (code === 'ENOMEM') return noMemory(error, map === undefined ? undefined : sizeOf(map, config));
	if (code === 'EPERM' && log.includes('trivial BPF program')) return nothingAllowed(error, allowance);
	if (code === 'EPERM' && map !== undefined && allowance.lockedBytes !== undefined) {
		const limit = `${Math.floor(allowance.lockedBytes / 1024)} KiB`;
		return new ToascopeError('NO_MEMORY', `the kernel refuses the map ${map}: at most ${limit} may be locked`, {
			hint: 'before Linux 5.11 maps count as locked memory: ulimit -l unlimited, LimitMEMLOCK=infinity, or CAP_SYS_RESOURCE',
			cause: error,
		});
	}
	return new ToascopeError('BPF_FAILED', `${error.message} (${code})`, {
		hint:
			code === 'EPERM'
				? 'is another program attached exclusively at this cgroup, or does a security module forbid it? toascope doctor tells more'
				: 'toascope doctor tells what this kernel can do',
		...(log === '' ? {} : { detail: log }),
		cause: error,
	});
}

function noMemory(cause: Error, size: string | undefined): ToascopeError {
	const what = size === undefined ? 'the programs and maps' : `a table of the size of ${size}`;
	return new ToascopeError('NO_MEMORY', `the kernel has no memory for ${what}`, {
		hint: `lower ${size?.split(' ', 1)[0] ?? 'clients.capacity, connections.max or bpf.ring_bytes'}; the memory limit of a container or a service counts maps too`,
		cause,
	});
}

/** Not even a program of two instructions: it is this process, not what we load. */
function nothingAllowed(cause: Error, { lockedBytes, inUserNamespace }: Allowance): ToascopeError {
	if (inUserNamespace) {
		const message = 'this process is in a user namespace, and the kernel takes no eBPF from there';
		return new ToascopeError('NO_PRIVILEGE', message, { hint: 'run it as root of the host', cause });
	}
	const old =
		lockedBytes === undefined ? '' : '; before Linux 5.11 also too little locked memory: LimitMEMLOCK=infinity';
	return new ToascopeError('NO_PRIVILEGE', 'the kernel takes no eBPF program from this process (EPERM)', {
		hint: `a seccomp filter, a security module or lockdown forbids bpf(2) here${old}`,
		cause,
	});
}
