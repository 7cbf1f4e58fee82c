// SPDX-License-Identifier: Apache-2.0
/** @toascope/node writes addresses as the daemon does. */
import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { formatAddress } from '../../../daemon/model/address.ts';
import { formatIPv4, formatIPv6, isMapped } from '../../../integrations/node/src/address.ts';

const bytes = (hex: string) => Buffer.from(hex.replaceAll(' ', ''), 'hex');

it.each([
	['0000 0000 0000 0000 0000 0000 0000 0000', '::'],
	['0000 0000 0000 0000 0000 0000 0000 0001', '::1'],
	['2001 0db8 0000 0000 0000 0000 0000 0000', '2001:db8::'],
	['2001 0db8 0000 0001 0001 0001 0001 0001', '2001:db8:0:1:1:1:1:1'],
	['2001 0db8 0000 0000 0001 0000 0000 0001', '2001:db8::1:0:0:1'],
	['2001 0000 0000 0001 0000 0000 0000 0001', '2001:0:0:1::1'],
	['fe80 0000 0000 0000 abcd 0000 0000 0000', 'fe80::abcd:0:0:0'],
])('%s is %s', (hex, text) => {
	expect(formatIPv6(bytes(hex))).toBe(text);
	expect(formatAddress(6, bytes(hex))).toBe(text);
});

describe('against the daemon', () => {
	it('10,000 addresses, with runs of zeros anywhere, are written alike', () => {
		for (let index = 0; index < 10_000; index++) {
			const address = randomBytes(16);
			const zeros = randomBytes(2).readUInt16BE();
			for (let group = 0; group < 8; group++) if (zeros & (1 << group)) address.fill(0, 2 * group, 2 * group + 2);
			expect(formatIPv6(address)).toBe(formatAddress(6, address));
			expect(formatIPv4(address, 12)).toBe(formatAddress(4, address.subarray(12)));
		}
	});
});

it.each([
	['0000 0000 0000 0000 0000 ffff cb00 7107', true],
	['0000 0000 0000 0000 0000 0000 cb00 7107', false],
	['0000 0000 0000 0000 0001 ffff cb00 7107', false],
	['0064 ff9b 0000 0000 0000 0000 cb00 7107', false],
])('%s: IPv4-mapped: %s', (hex, mapped) => {
	expect(isMapped(bytes(hex))).toBe(mapped);
});
