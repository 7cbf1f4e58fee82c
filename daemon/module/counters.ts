// SPDX-License-Identifier: Apache-2.0
/**
 * Reads the counters of toa.ko from /proc/net/toa_counters, and computes the rows of
 * /proc/net/toa_stats, which are sums of them.
 */
import { join } from 'node:path';
import { readText } from '../host/files.ts';
import { hostRoots } from '../host/roots.ts';

/**
 * The vendor's rows as sums of counters (kernel/toa_proc.c). Their own file is not read, because it
 * leaves out offline CPUs: its sums decrease when a CPU goes offline.
 */
const rows: Readonly<Record<string, readonly string[]>> = {
	syn_recv_sock_toa: ['verdict_toa', 'verdict_conflict'],
	syn_recv_sock_no_toa: ['verdict_none', 'verdict_malformed', 'verdict_untrusted'],
	getname_toa_ok: ['asked_ok'],
	getname_toa_mismatch: [],
	getname_toa_bypass: ['asked_short'],
	getname_toa_empty: ['asked_none', 'asked_ipv4'],
	ip6_address_alloc: ['objects_allocated'],
	ip6_address_free: ['objects_freed'],
};

/** Parses lines of `NAME NUMBER`. */
export function parseCounters(text: string): Record<string, bigint> {
	const lines = text.matchAll(/^(\w+) (\d+)$/gm);
	return Object.fromEntries([...lines].map(([, name = '', value = '0']) => [name, BigInt(value)]));
}

export function vendorRows(counters: Readonly<Record<string, bigint>>): Record<string, bigint> {
	const sum = (parts: readonly string[]) => parts.reduce((total, part) => total + (counters[part] ?? 0n), 0n);
	return Object.fromEntries(Object.entries(rows).map(([name, parts]) => [name, sum(parts)]));
}

/**
 * Returns the counters and the vendor's rows. The file exists only in the initial network
 * namespace; empty if this process is in another one, or the module is not loaded.
 */
export function readEvents({ proc } = hostRoots): Record<string, bigint> {
	const text = readText(join(proc, 'net/toa_counters'));
	if (text === undefined) return {};
	const counters = parseCounters(text);
	return { ...counters, ...vendorRows(counters) };
}
