// SPDX-License-Identifier: Apache-2.0
/** The map `ledger`: numbers that outlive the daemon and are no client's (enum ledger_entry). */
import type { BpfObject } from './native.ts';

function keyOf(entry: number): Buffer {
	const key = Buffer.alloc(4);
	key.writeUInt32LE(entry);
	return key;
}

/** 0 where nothing has been written. */
export function readLedger(bpf: BpfObject, entry: number): bigint {
	const value = Buffer.alloc(8);
	bpf.lookup('ledger', keyOf(entry), value);
	return value.readBigUInt64LE();
}

export function writeLedger(bpf: BpfObject, entry: number, number: bigint): void {
	const value = Buffer.alloc(8);
	value.writeBigUInt64LE(number);
	bpf.update('ledger', keyOf(entry), value);
}
