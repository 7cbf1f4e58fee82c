// SPDX-License-Identifier: Apache-2.0
/** Source addresses counted up from a first one. */
import { isIPv6 } from 'node:net';

function toBigInt(ipv6: string): bigint {
	const [head = '', tail] = ipv6.split('::');
	const groups = (text: string) => (text === '' ? [] : text.split(':'));
	const left = groups(head);
	const right = groups(tail ?? '');
	const zeros = tail === undefined ? [] : new Array<string>(8 - left.length - right.length).fill('0');
	return [...left, ...zeros, ...right].reduce((sum, group) => (sum << 16n) | BigInt(`0x${group}`), 0n);
}

/**
 * The address `offset` after `first`, in eight groups. Offset 0 returns `first` as it is, which can
 * also be IPv4.
 * @throws RangeError for another offset, unless `first` is IPv6 without a dotted part.
 */
export function addressAfter(first: string, offset: number): string {
	if (offset === 0) return first;
	if (!isIPv6(first) || first.includes('.')) throw new RangeError(`cannot count up from ${first}`);
	const value = toBigInt(first) + BigInt(offset);
	const groups = Array.from({ length: 8 }, (_, i) => ((value >> BigInt(112 - 16 * i)) & 0xffffn).toString(16));
	return groups.join(':');
}
