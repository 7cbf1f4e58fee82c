// SPDX-License-Identifier: Apache-2.0
/** Addresses and endpoints as the model holds them: the family is always explicit. */
import ipaddr from 'ipaddr.js';

export type Family = 4 | 6;

/** An IP address. An IPv4 address always has family 4, never the `::ffff:` form. */
interface Address {
	readonly family: Family;
	/** RFC 5952 text, or dotted decimal. */
	readonly text: string;
}

/** A transport address: `192.0.2.1:80` or `[2001:db8::1]:80`. */
export interface Endpoint extends Address {
	readonly port: number;
}

/**
 * A client as named by the option. The port is undefined where the profile has none or the sender
 * wrote 0.
 */
export interface ClientEndpoint extends Address {
	readonly port: number | undefined;
}

/**
 * RFC 5952 text of 16 bytes: lower case, the longest run of two or more zero groups written as
 * `::`.
 */
export function formatIPv6(bytes: Uint8Array): string {
	const groups: number[] = [];
	for (let i = 0; i < 16; i += 2) groups.push(((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0));
	let best = -1;
	let bestLength = 1;
	for (let i = 0; i < 8; ) {
		let end = i;
		while (end < 8 && groups[end] === 0) end++;
		if (end - i > bestLength) {
			best = i;
			bestLength = end - i;
		}
		i = end === i ? i + 1 : end;
	}
	const hex = groups.map((group) => group.toString(16));
	if (best < 0) return hex.join(':');
	return `${hex.slice(0, best).join(':')}::${hex.slice(best + bestLength).join(':')}`;
}

/** The bytes of an address, 4 or 16. */
export function addressBytes(family: Family, text: string): readonly number[] {
	return family === 4 ? ipv4Bytes(text) : ipaddr.IPv6.parse(text).toByteArray();
}

/** A batch of lookups has hundreds: this takes a tenth of the time of split() and Number(). */
function ipv4Bytes(text: string): number[] {
	const bytes = [0, 0, 0, 0];
	let at = 0;
	for (let i = 0; i < text.length; i++) {
		const code = text.charCodeAt(i);
		if (code === 0x2e) at++;
		else bytes[at] = 10 * (bytes[at] ?? 0) + code - 0x30;
	}
	return bytes;
}

/** Text of an address of the given family that starts at `bytes[0]`. */
export function formatAddress(family: Family, bytes: Uint8Array): string {
	return family === 4 ? `${bytes[0]}.${bytes[1]}.${bytes[2]}.${bytes[3]}` : formatIPv6(bytes);
}

/**
 * `ADDR:PORT`, with IPv6 in brackets; the bare address without a port. It is a listener's label and
 * the key of a lookup.
 */
export function formatEndpoint(endpoint: ClientEndpoint): string {
	if (endpoint.port === undefined) return endpoint.text;
	return endpoint.family === 6 ? `[${endpoint.text}]:${endpoint.port}` : `${endpoint.text}:${endpoint.port}`;
}
