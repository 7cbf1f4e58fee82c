// SPDX-License-Identifier: Apache-2.0
/**
 * What pinned counters stand on: the prefixes that make a client, and the cgroup whose sockets are seen. With
 * others, connections that are open now would be counted down for clients that they were not counted for, or never.
 */
import { statSync } from 'node:fs';
import type { Config } from '../config/config.ts';
import { ledgerEntry } from './layout.gen.ts';
import type { BpfObject } from './native.ts';

const key = Buffer.alloc(4);
key.writeUInt32LE(ledgerEntry.LEDGER_FOUNDATION);

/** A cgroup's id is the inode number of its directory; what is left for it beside the two prefixes are 48 bits. */
function foundationOf({ clients }: Config, cgroup: string): bigint {
	const id = BigInt.asUintN(48, statSync(cgroup, { bigint: true }).ino);
	return (id << 16n) | BigInt((clients.prefix4 << 8) | clients.prefix6);
}

/** False: the counters stand on another one. */
export function standsOn(bpf: BpfObject, config: Config, cgroup: string): boolean {
	const value = Buffer.alloc(8);
	bpf.lookup('ledger', key, value);
	const before = value.readBigUInt64LE();
	return before === 0n || before === foundationOf(config, cgroup);
}

export function layFoundation(bpf: BpfObject, config: Config, cgroup: string): void {
	const value = Buffer.alloc(8);
	value.writeBigUInt64LE(foundationOf(config, cgroup));
	bpf.update('ledger', key, value);
}
