// SPDX-License-Identifier: Apache-2.0
/** Reads what people write for a transport address. */
import ipaddr from 'ipaddr.js';
import { ToascopeError } from '../errors.ts';
import { type Endpoint, formatIPv6 } from './address.ts';

const example = 'write 192.0.2.1:443 or [2001:db8::1]:443';

/**
 * Reads `ADDR:PORT`, IPv6 in brackets. An IPv4 address in IPv6 (`::ffff:`) is that IPv4 address.
 *
 * @throws {ToascopeError} BAD_ADDRESS, saying what is wrong
 * @example parseEndpoint('[2001:DB8:0::1]:443') // { family: 6, text: '2001:db8::1', port: 443 }
 */
export function parseEndpoint(text: string): Endpoint {
	const six = /^\[([^\]]*)\](?::(.*))?$/s.exec(text);
	if (six !== null) return parseIPv6(text, six[1] ?? '', six[2]);
	const colon = text.lastIndexOf(':');
	const host = colon < 0 ? text : text.slice(0, colon);
	// first, since it is what stands here but for mistakes: IPv6's answer no is an exception, and slow
	if (!ipaddr.IPv4.isValidFourPartDecimal(host)) {
		if (ipaddr.IPv6.isValid(text) || ipaddr.IPv6.isValid(host)) throw bad(text, 'an IPv6 address stands in brackets');
		throw bad(text, `'${printable(host)}' is not an IP address`);
	}
	return { family: 4, text: host, port: parsePort(text, colon < 0 ? undefined : text.slice(colon + 1)) };
}

function parseIPv6(text: string, host: string, port: string | undefined): Endpoint {
	if (host.includes('%')) throw bad(text, 'an address here has no zone');
	if (!ipaddr.IPv6.isValid(host)) throw bad(text, `'${printable(host)}' is not an IPv6 address`);
	const address = ipaddr.IPv6.parse(host.replace(/[0-9.]+\.[0-9.]+$/, asGroups));
	const read = parsePort(text, port);
	if (address.isIPv4MappedAddress()) return { family: 4, text: address.toIPv4Address().toString(), port: read };
	return { family: 6, text: formatIPv6(Uint8Array.from(address.toByteArray())), port: read };
}

/** The dotted end of an IPv6 address as two groups: ipaddr.js would take `::192.0.2.1` for `::ffff:192.0.2.1`. */
function asGroups(dotted: string): string {
	const [a = 0, b = 0, c = 0, d = 0] = dotted.split('.').map(Number);
	return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

function parsePort(text: string, port: string | undefined): number {
	if (port === undefined || port === '') throw bad(text, 'the port is missing');
	if (!/^[0-9]{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) {
		throw bad(text, `'${printable(port)}' is not a port from 1 to 65535`);
	}
	return Number(port);
}

function bad(text: string, what: string): ToascopeError {
	return new ToascopeError('BAD_ADDRESS', `bad address '${printable(text)}': ${what}`, { hint: example });
}

/** Short, and nothing in it that a terminal would obey. */
function printable(text: string): string {
	const clean = text.replace(/[^\x20-\x7e]/g, '?');
	return clean.length > 64 ? `${clean.slice(0, 61)}...` : clean;
}
