// SPDX-License-Identifier: Apache-2.0
/**
 * The vendor's getsockopt(IPPROTO_IP, TOA_SO_GET_LOOKUP) on an accepted socket, and the struct
 * toa_nat64_peer that it returns.
 */
import ipaddr from 'ipaddr.js';
import { fill, type OptionResult } from './probe.ts';
import type { Accepted } from './toa_stage.ts';

const IPPROTO_IP = 0;
const TOA_SO_GET_LOOKUP = 4096;

/** `length` is the length passed to the call, `room` the size of the buffer, both in bytes. */
export const lookup = ({ probe }: Accepted, length = 20, room = length): Promise<OptionResult> =>
	probe.getsockopt(IPPROTO_IP, TOA_SO_GET_LOOKUP, length, room);

/** A struct toa_nat64_peer: address, port in network order, two bytes of zero padding. */
export function answerFor(address: string, port: number): Buffer {
	const bytes = Buffer.alloc(20);
	Buffer.from(ipaddr.parse(address).toByteArray()).copy(bytes);
	bytes.writeUInt16BE(port, 16);
	return bytes;
}

/** The content of a buffer that a call did not write to. */
export const untouched = (length: number) => Buffer.alloc(length, fill);
