// SPDX-License-Identifier: Apache-2.0
/**
 * The scope of pinned counters: the prefixes that make a client, and the cgroup whose sockets are seen. With others,
 * connections that are open now would be counted down for clients that they were not counted for, or never.
 */
import { createHash } from 'node:crypto';
import { resolve } from 'node:path';
import type { Config } from '../config/config.ts';
import { ledgerEntry } from './layout.gen.ts';
import { readLedger, writeLedger } from './ledger.ts';
import type { BpfObject } from './native.ts';
import type { ServedCgroup } from './served_cgroup.ts';

/** No inode number reaches it: it marks a scope by path. */
const byPath = 1n << 63n;

/**
 * The scope as a number: a hash over the prefixes and the cgroup's path, since a service that restarts gets another cgroup at
 * the same path.
 */
export function counterScope({ clients }: Config, { path }: ServedCgroup): bigint {
	const text = [clients.prefix4, clients.prefix6, resolve(path)].join('\n');
	return createHash('sha256').update(text).digest().readBigUInt64LE() | byPath;
}

/** The scope as versions before had it: by the cgroup's id, of which there was room for 48 bits. */
function scopeById({ clients }: Config, { id }: ServedCgroup): bigint {
	return (BigInt.asUintN(48, id ?? 0n) << 16n) | BigInt((clients.prefix4 << 8) | clients.prefix6);
}

/** Whether pinned counters have this scope. 0n: they have none yet. */
export function isScope(pinned: bigint, config: Config, cgroup: ServedCgroup): boolean {
	return pinned === 0n || pinned === counterScope(config, cgroup) || pinned === scopeById(config, cgroup);
}

/** False: the pinned counters have another scope. */
export function matchesScope(bpf: BpfObject, config: Config, cgroup: ServedCgroup): boolean {
	return isScope(readLedger(bpf, ledgerEntry.LEDGER_FOUNDATION), config, cgroup);
}

export function writeScope(bpf: BpfObject, config: Config, cgroup: ServedCgroup): void {
	writeLedger(bpf, ledgerEntry.LEDGER_FOUNDATION, counterScope(config, cgroup));
}
