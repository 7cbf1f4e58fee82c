// SPDX-License-Identifier: Apache-2.0
/**
 * Reads and writes the map `meta`: numbers that outlive the daemon and do not belong to a client
 * (enum meta_entry).
 */
import type { BpfObject } from '../../../native/binding.ts';
import { u32 } from '../records/records.ts';

/** Returns 0 if nothing has been written. */
export function readMeta(bpf: BpfObject, entry: number): bigint {
	const value = Buffer.alloc(8);
	bpf.map('meta').lookup(u32(entry), value);
	return value.readBigUInt64LE();
}

export function writeMeta(bpf: BpfObject, entry: number, number: bigint): void {
	const value = Buffer.alloc(8);
	value.writeBigUInt64LE(number);
	bpf.map('meta').update(u32(entry), value);
}
