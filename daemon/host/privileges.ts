// SPDX-License-Identifier: Apache-2.0
/** The capabilities of this process: capabilities(7), from /proc/self/status. */
import { readFileSync } from 'node:fs';
import { ToascopeError } from '../errors.ts';

/** Bit numbers from include/uapi/linux/capability.h. */
const bits = {
	CAP_BPF: 39,
	CAP_NET_ADMIN: 12,
	CAP_NET_RAW: 13,
	CAP_PERFMON: 38,
	CAP_SYS_ADMIN: 21,
	CAP_SYS_MODULE: 16,
	CAP_SYS_RESOURCE: 24,
} as const;

export type Capability = keyof typeof bits;

/** Required to load and attach the programs. */
const forBpf: readonly Capability[] = ['CAP_BPF', 'CAP_NET_ADMIN', 'CAP_PERFMON'];
/** CAP_SYS_ADMIN includes these: they were split off from it in Linux 5.8. */
const partsOfAdmin: readonly Capability[] = ['CAP_BPF', 'CAP_PERFMON'];

/**
 * The capabilities of `needed`, by default those for eBPF, that a process lacks. `status`: the text
 * of its /proc/PID/status (proc(5)).
 */
export function missingCapabilities(status: string, needed: readonly Capability[] = forBpf): Capability[] {
	const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
	const has = (name: Capability) => ((effective >> BigInt(bits[name])) & 1n) === 1n;
	return needed.filter((name) => !has(name) && !(partsOfAdmin.includes(name) && has('CAP_SYS_ADMIN')));
}

/**
 * @param what the operation that requires them, as the beginning of a sentence
 * @throws {ToascopeError} NO_PRIVILEGE, naming what is missing; PROVIDER_UNSUPPORTED without /proc
 */
export function requirePrivileges(what = 'loading eBPF programs', more: readonly Capability[] = []): void {
	requireCapabilities(what, [...forBpf, ...more]);
}

/** Like requirePrivileges(), for operations without eBPF. */
export function requireCapabilities(what: string, needed: readonly Capability[]): void {
	const missing = missingCapabilities(readStatus(), needed);
	if (missing.length === 0) return;
	throw new ToascopeError('NO_PRIVILEGE', `${what} requires ${missing.join(', ')}, which this process lacks`, {
		hint: 'run it as root, or give these capabilities to the service',
	});
}

function readStatus(): string {
	try {
		return readFileSync('/proc/self/status', 'utf8');
	} catch (cause) {
		throw new ToascopeError('PROVIDER_UNSUPPORTED', '/proc cannot be read, so the capabilities are unknown', {
			hint: 'mount -t proc proc /proc',
			cause,
		});
	}
}
