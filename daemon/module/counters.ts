// SPDX-License-Identifier: Apache-2.0
/** What toa.ko counts: /proc/net/toa_counters, and the rows of /proc/net/toa_stats, which are sums of those. */
import { join } from 'node:path';
import { readText } from './loaded.ts';
import { hostRoots } from './roots.ts';

/** The vendor's rows (kernel/toa_stats.c). Their file leaves out CPUs that are offline, so that its sums would fall. */
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

/** Lines `NAME NUMBER`. */
export function parseCounters(text: string): Record<string, bigint> {
	const lines = text.matchAll(/^(\w+) (\d+)$/gm);
	return Object.fromEntries([...lines].map(([, name = '', value = '0']) => [name, BigInt(value)]));
}

export function vendorRows(counters: Readonly<Record<string, bigint>>): Record<string, bigint> {
	const sum = (parts: readonly string[]) => parts.reduce((total, part) => total + (counters[part] ?? 0n), 0n);
	return Object.fromEntries(Object.entries(rows).map(([name, parts]) => [name, sum(parts)]));
}

/** Both, of this network namespace's /proc: the files are in the initial one. Empty where the module is gone. */
export function readEvents({ proc } = hostRoots): Record<string, bigint> {
	const text = readText(join(proc, 'net/toa_counters'));
	if (text === undefined) return {};
	const counters = parseCounters(text);
	return { ...counters, ...vendorRows(counters) };
}
