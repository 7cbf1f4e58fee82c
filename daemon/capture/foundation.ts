// SPDX-License-Identifier: Apache-2.0
/**
 * The scope of pinned counters: the cgroup whose sockets are seen. With another one connections that are open now would never be
 * counted down.
 */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import { ledgerEntry } from './layout.gen.ts';
import { readLedger, writeLedger } from './ledger.ts';
import type { BpfObject } from './native.ts';
import type { ServedCgroup } from './served_cgroup.ts';

/** No inode number reaches it: it marks a scope by path. */
const byPath = 1n << 63n;

const hashed = (...text: readonly (string | number)[]) =>
	createHash('sha256').update(text.join('\n')).digest().readBigUInt64LE() | byPath;

/** The scope as a number: a hash over the cgroup's path, since a service that restarts gets another cgroup at the same path. */
export function counterScope({ path }: ServedCgroup): bigint {
	return hashed(resolve(path));
}

/** Whether it is the scope as layouts before 7 had it: with the prefixes that make a client, or by the cgroup's id. */
function isEarlierScope(pinned: bigint, { path, id }: ServedCgroup): boolean {
	if ((pinned & byPath) === 0n) return pinned >> 16n === BigInt.asUintN(48, id ?? 0n);
	const lengths = (most: number) => Array.from({ length: most }, (_, index) => index + 1);
	return lengths(32).some((prefix4) =>
		lengths(128).some((prefix6) => pinned === hashed(prefix4, prefix6, resolve(path))),
	);
}

/** Whether pinned counters have this scope. 0n: they have none yet. */
export function isScope(pinned: bigint, cgroup: ServedCgroup): boolean {
	return pinned === 0n || pinned === counterScope(cgroup) || isEarlierScope(pinned, cgroup);
}

/** False: the pinned counters have another scope. */
export function matchesScope(bpf: BpfObject, cgroup: ServedCgroup): boolean {
	return isScope(readLedger(bpf, ledgerEntry.LEDGER_FOUNDATION), cgroup);
}

export function writeScope(bpf: BpfObject, cgroup: ServedCgroup): void {
	writeLedger(bpf, ledgerEntry.LEDGER_FOUNDATION, counterScope(cgroup));
}
