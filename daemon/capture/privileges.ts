// SPDX-License-Identifier: Apache-2.0
/** What this process may do: capabilities(7), from /proc/self/status. */
import { readFileSync } from 'node:fs';
import { ToascopeError } from '../errors.ts';

/** Bits of include/uapi/linux/capability.h. */
const needed = { CAP_BPF: 39, CAP_NET_ADMIN: 12, CAP_PERFMON: 38 } as const;
const CAP_SYS_ADMIN = 21;

/** Names of the capabilities that loading programs takes and that this process lacks. */
export function missingCapabilities(status: string = readFileSync('/proc/self/status', 'utf8')): string[] {
	const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
	const has = (bit: number) => ((effective >> BigInt(bit)) & 1n) === 1n;
	return Object.entries(needed)
		.filter(([name, bit]) => !has(bit) && !(name !== 'CAP_NET_ADMIN' && has(CAP_SYS_ADMIN)))
		.map(([name]) => name);
}

/** @throws {ToascopeError} NO_PRIVILEGE that names what is missing */
export function requirePrivileges(): void {
	const missing = missingCapabilities();
	if (missing.length === 0) return;
	throw new ToascopeError(
		'NO_PRIVILEGE',
		`loading eBPF programs takes ${missing.join(', ')}, which this process lacks`,
		{
			hint: 'run it as root, or give these capabilities to the service',
		},
	);
}
