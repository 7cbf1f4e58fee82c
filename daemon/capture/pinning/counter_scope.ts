// SPDX-License-Identifier: Apache-2.0
/**
 * The scope of pinned counters: the cgroup whose sockets are observed. Under another cgroup,
 * connections that are open now would never be counted as closed.
 */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { BpfObject } from '../../../native/binding.ts';
import { readMeta, writeMeta } from '../maps/meta.ts';
import { metaEntry } from '../records/layout.gen.ts';
import type { ServedCgroup } from '../served_cgroup.ts';

/** Marks a scope by path: no inode number is this large. */
const byPath = 1n << 63n;

const hashed = (...text: readonly (string | number)[]) =>
	createHash('sha256').update(text.join('\n')).digest().readBigUInt64LE() | byPath;

/**
 * The scope as a number: a hash of the cgroup's path, because a service that restarts gets another
 * cgroup at the same path.
 */
export function counterScope({ path }: ServedCgroup): bigint {
	return hashed(resolve(path));
}

/**
 * Whether it is the scope as layouts before 7 wrote it: with the prefixes that make a client, or by
 * the id of the cgroup.
 */
function isEarlierScope(pinned: bigint, { path, id }: ServedCgroup): boolean {
	if ((pinned & byPath) === 0n) return pinned >> 16n === BigInt.asUintN(48, id ?? 0n);
	const lengths = (max: number) => Array.from({ length: max }, (_, index) => index + 1);
	return lengths(32).some((prefix4) =>
		lengths(128).some((prefix6) => pinned === hashed(prefix4, prefix6, resolve(path))),
	);
}

/** Whether pinned counters have this scope. 0n: they have no scope yet. */
export function isScope(pinned: bigint, cgroup: ServedCgroup): boolean {
	return pinned === 0n || pinned === counterScope(cgroup) || isEarlierScope(pinned, cgroup);
}

/** False: the pinned counters have another scope. */
export function matchesScope(bpf: BpfObject, cgroup: ServedCgroup): boolean {
	return isScope(readMeta(bpf, metaEntry.META_SCOPE), cgroup);
}

export function writeScope(bpf: BpfObject, cgroup: ServedCgroup): void {
	writeMeta(bpf, metaEntry.META_SCOPE, counterScope(cgroup));
}
