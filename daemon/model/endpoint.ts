// SPDX-License-Identifier: Apache-2.0
/** Parses transport addresses as people write them. */
import ipaddr from 'ipaddr.js';
import { ToascopeError } from '../errors.ts';
import { type ClientEndpoint, type Endpoint, formatIPv6 } from './address.ts';

const example = 'write 192.0.2.1:443 or [2001:db8::1]:443';

/**
 * Parses `ADDR:PORT`, with IPv6 in brackets. An IPv4-mapped IPv6 address (`::ffff:`) becomes the
 * IPv4 address.
 *
 * @throws {ToascopeError} BAD_ADDRESS, saying what is wrong
 * @example parseEndpoint('[2001:DB8:0::1]:443') // { family: 6, text: '2001:db8::1', port: 443 }
 */
export function parseEndpoint(text: string): Endpoint {
	return plainIPv4(text) ?? parseAny(text);
}

const plainPattern = /^((?:(?:[1-9]?\d|1\d\d|2[0-4]\d|25[0-5])(?:\.(?!:)|(?=:))){4}):([1-9]\d{0,4})$/;

/** The endpoints of nearly all lookups, without the exceptions and the checks of the others. */
function plainIPv4(text: string): Endpoint | undefined {
	const [, address = '', digits = ''] = plainPattern.exec(text) ?? [];
	const port = Number(digits);
	return port > 0 && port <= 65_535 ? { family: 4, text: address, port } : undefined;
}

function parseAny(text: string): Endpoint {
	const six = /^\[([^\]]*)\](?::(.*))?$/s.exec(text);
	if (six !== null) return parseIPv6(text, six[1] ?? '', six[2]);
	const colon = text.lastIndexOf(':');
	const host = colon < 0 ? text : text.slice(0, colon);
	// IPv4 is tried first: all else here is a mistake, and ipaddr.js rejects text that is not IPv6
	// by an exception, which is slow
	if (!ipaddr.IPv4.isValidFourPartDecimal(host)) {
		if (ipaddr.IPv6.isValid(text) || ipaddr.IPv6.isValid(host)) throw bad(text, 'an IPv6 address must be in brackets');
		throw bad(text, `'${printable(host)}' is not an IP address`);
	}
	return { family: 4, text: host, port: parsePort(text, colon < 0 ? undefined : text.slice(colon + 1)) };
}

/**
 * Parses a client: `ADDR:PORT` as above, or an address alone, with or without brackets.
 *
 * @throws {ToascopeError} BAD_ADDRESS, saying what is wrong
 */
export function parseClient(text: string): ClientEndpoint {
	const bare = /^\[([^\]]*)\]$/.exec(text)?.[1] ?? text;
	if (ipaddr.IPv4.isValidFourPartDecimal(bare)) return { family: 4, text: bare, port: undefined };
	if (!ipaddr.IPv6.isValid(bare)) return parseEndpoint(text);
	return { ...parseEndpoint(`[${bare}]:1`), port: undefined };
}

function parseIPv6(text: string, host: string, port: string | undefined): Endpoint {
	if (host.includes('%')) throw bad(text, 'the address must have no zone');
	if (!ipaddr.IPv6.isValid(host)) throw bad(text, `'${printable(host)}' is not an IPv6 address`);
	const address = ipaddr.IPv6.parse(host.replace(/[0-9.]+\.[0-9.]+$/, asGroups));
	const read = parsePort(text, port);
	if (address.isIPv4MappedAddress()) return { family: 4, text: address.toIPv4Address().toString(), port: read };
	return { family: 6, text: formatIPv6(Uint8Array.from(address.toByteArray())), port: read };
}

/**
 * The dotted end of an IPv6 address as two groups: otherwise ipaddr.js reads `::192.0.2.1` as
 * `::ffff:192.0.2.1`.
 */
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

/** Shortens the text, and replaces everything that a terminal could interpret. */
function printable(text: string): string {
	const clean = text.replace(/[^\x20-\x7e]/g, '?');
	return clean.length > 64 ? `${clean.slice(0, 61)}...` : clean;
}
