// SPDX-License-Identifier: Apache-2.0
/** What is read as ADDR:PORT, and the errors for everything else. */
import { describe, expect, it } from 'vitest';
import { ToascopeError } from '../../../daemon/errors.ts';
import { formatEndpoint } from '../../../daemon/model/address.ts';
import { parseEndpoint } from '../../../daemon/model/endpoint.ts';

describe('addresses that are read', () => {
	it.each([
		['192.0.2.1:80', 4, '192.0.2.1:80'],
		['0.0.0.0:65535', 4, '0.0.0.0:65535'],
		['[2001:DB8:0:0::1]:443', 6, '[2001:db8::1]:443'],
		['[2001:db8:0:1:1:1:1:1]:1', 6, '[2001:db8:0:1:1:1:1:1]:1'],
		['[64:ff9b::192.0.2.33]:9', 6, '[64:ff9b::c000:221]:9'],
		['[::]:1', 6, '[::]:1'],
		['[::ffff:192.0.2.1]:1', 4, '192.0.2.1:1'],
		['[::FFFF:c000:201]:1', 4, '192.0.2.1:1'],
		['[::192.0.2.1]:1', 6, '[::c000:201]:1'],
	])('%s', (text, family, shown) => {
		const endpoint = parseEndpoint(text);
		expect(endpoint.family).toBe(family);
		expect(formatEndpoint(endpoint)).toBe(shown);
	});
});

describe('addresses that are refused', () => {
	it.each([
		['', 'is not an IP address'],
		[':80', 'is not an IP address'],
		['localhost:80', "'localhost' is not an IP address"],
		['1.2.3:80', "'1.2.3' is not an IP address"],
		['01.2.3.4:80', "'01.2.3.4' is not an IP address"],
		['0x7f.0.0.1:80', 'is not an IP address'],
		['256.1.1.1:80', 'is not an IP address'],
		['192.0.2.1', 'the port is missing'],
		['192.0.2.1:', 'the port is missing'],
		['192.0.2.1:0', "'0' is not a port from 1 to 65535"],
		['192.0.2.1:65536', "'65536' is not a port"],
		['192.0.2.1:8e1', "'8e1' is not a port"],
		['192.0.2.1:80 ', "'80 ' is not a port"],
		['2001:db8::1', 'an IPv6 address must be in brackets'],
		['2001:db8::1:80', 'an IPv6 address must be in brackets'],
		['[2001:db8::1]', 'the port is missing'],
		['[192.0.2.1]:80', "'192.0.2.1' is not an IPv6 address"],
		['[1::2::3]:80', 'is not an IPv6 address'],
		['[fe80::1%eth0]:80', 'no zone'],
		['\u001b[31m:80', "bad address '?[31m:80'"],
	])('%j', (text, what) => {
		const error = expect.objectContaining({
			code: 'BAD_ADDRESS',
			message: expect.stringContaining(what),
			hint: expect.stringContaining('192.0.2.1:443'),
		});
		expect(() => parseEndpoint(text)).toThrow(error);
		expect(() => parseEndpoint(text)).toThrow(ToascopeError);
	});
});
