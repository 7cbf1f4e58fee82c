// SPDX-License-Identifier: Apache-2.0
/**
 * What pinned counters stand on: the prefixes that make a client, and the cgroup whose sockets are seen. With
 * others, connections that are open now would be counted down for clients that they were not counted for, or never.
 */
import { statSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { ledgerEntry } from './layout.gen.ts';
import { readLedger, writeLedger } from './ledger.ts';
import type { BpfObject } from './native.ts';

/** A cgroup's id is the inode number of its directory; what is left for it beside the two prefixes are 48 bits. */
export function foundationOf({ clients }: Config, cgroup: string): bigint {
	const id = BigInt.asUintN(48, statSync(cgroup, { bigint: true }).ino);
	return (id << 16n) | BigInt((clients.prefix4 << 8) | clients.prefix6);
}

/** False: the counters stand on another one. */
export function standsOn(bpf: BpfObject, config: Config, cgroup: string): boolean {
	const before = readLedger(bpf, ledgerEntry.LEDGER_FOUNDATION);
	return before === 0n || before === foundationOf(config, cgroup);
}

export function layFoundation(bpf: BpfObject, config: Config, cgroup: string): void {
	writeLedger(bpf, ledgerEntry.LEDGER_FOUNDATION, foundationOf(config, cgroup));
}
