// SPDX-License-Identifier: Apache-2.0
/** Entries of the client table, as the BPF programs create them. */
import { expect } from 'vitest';
import { clientKeyLayout, clientLayout } from '../../../daemon/capture/records/layout.gen.ts';
import { writeEndpoint, writeTraffic } from '../../../daemon/capture/records/records.ts';
import type { Traffic } from '../../../daemon/model/traffic.ts';
import { noTraffic } from '../../../daemon/model/traffic.ts';
import type { BpfObject } from '../../../native/binding.ts';

/** The key of `2001:db8:c::NUMBER` on 192.0.2.1:443. */
export function keyOf(number: number): Buffer {
	const key = Buffer.alloc(clientKeyLayout.size);
	key.write('20010db8000c', clientKeyLayout.address, 'hex');
	key.writeUInt32BE(number, clientKeyLayout.address + 12);
	key[clientKeyLayout.family] = 6;
	key[clientKeyLayout.prefixLength] = 128;
	writeEndpoint(key, clientKeyLayout.listener, { family: 4, address: [192, 0, 2, 1], port: 443 });
	return key;
}

/** A `tag` of 0 marks an entry that is being folded. */
export function putClient(
	object: BpfObject,
	key: Buffer,
	traffic: Traffic = noTraffic,
	more: { createdNs?: bigint; activeNs?: bigint; tag?: bigint } = {},
): void {
	const value = Buffer.alloc(clientLayout.size);
	writeTraffic(value, clientLayout.traffic, traffic);
	value.writeBigUInt64LE(more.createdNs ?? 0n, clientLayout.createdNs);
	value.writeBigUInt64LE(more.activeNs ?? 0n, clientLayout.activeNs);
	value.writeBigUInt64LE(more.tag ?? 1n, clientLayout.generation);
	expect(object.map('clients').update(key, value)).toBe(true);
}
