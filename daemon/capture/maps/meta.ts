// SPDX-License-Identifier: Apache-2.0
/**
 * Reads and writes the map `meta`: numbers that outlive the daemon and do not belong to a client
 * (enum meta_entry).
 */
import type { BpfObject } from '../../../native/binding.ts';

function keyOf(entry: number): Buffer {
	const key = Buffer.alloc(4);
	key.writeUInt32LE(entry);
	return key;
}

/** Returns 0 if nothing has been written. */
export function readMeta(bpf: BpfObject, entry: number): bigint {
	const value = Buffer.alloc(8);
	bpf.map('meta').lookup(keyOf(entry), value);
	return value.readBigUInt64LE();
}

export function writeMeta(bpf: BpfObject, entry: number, number: bigint): void {
	const value = Buffer.alloc(8);
	value.writeBigUInt64LE(number);
	bpf.map('meta').update(keyOf(entry), value);
}
