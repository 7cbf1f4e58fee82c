// SPDX-License-Identifier: Apache-2.0
/**
 * Networks (CIDR) and listening addresses. Only the canonical spellings are accepted: `10.1/16` or
 * `010.0.0.0` is most likely a typing error.
 */
import ipaddr from 'ipaddr.js';
import { z } from 'zod';
import { BadValue, parsing } from './value.ts';

/** A network; the bits beyond the prefix are zero. */
export interface Network {
	readonly family: 4 | 6;
	/** 4 or 16 bytes, network order. */
	readonly address: readonly number[];
	readonly prefixLength: number;
	/** `10.0.0.0/8`; IPv6 as in RFC 5952. */
	readonly text: string;
}

/** Where a server listens; with `port` 0 the kernel chooses the port. */
export interface ListenAddress {
	readonly family: 4 | 6;
	readonly text: string;
	readonly port: number;
}

const networkError = 'must be a network such as 10.0.0.0/8 or 2001:db8::/32';
const listenError = 'must be ADDR:PORT such as 127.0.0.1:10646 or [::1]:10646, or off';

/** An IPv4 or IPv6 network. */
export const network = parsing(z.string({ error: networkError }), parseNetwork);

/** `ADDR:PORT` or `off`; undefined when off. */
export const listenAddress = parsing(z.union([z.literal(false), z.string()], { error: listenError }), (value) =>
	value === false || value === 'off' ? undefined : parseListenAddress(value),
);

type Parsed = ipaddr.IPv4 | ipaddr.IPv6;

function parseAddress(text: string): Parsed | undefined {
	if (/^(0|[1-9]\d{0,2})(\.(0|[1-9]\d{0,2})){3}$/.test(text)) {
		return ipaddr.IPv4.isValid(text) ? ipaddr.IPv4.parse(text) : undefined;
	}
	// a zone names an interface of one machine, and no TCP option carries one
	if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return undefined;
	return ipaddr.IPv6.parse(text);
}

function textOf(address: Parsed): string {
	return address.kind() === 'ipv6' ? (address as ipaddr.IPv6).toRFC5952String() : address.toString();
}

/** @throws BadValue when the text is not a network, or has bits set beyond its prefix */
export function parseNetwork(text: string): Network {
	const [, host = '', length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
	const address = parseAddress(host);
	if (address === undefined) throw new BadValue(networkError);
	const bytes = address.toByteArray();
	const bits = bytes.length * 8;
	if (length === undefined)
		throw new BadValue(`must have a prefix length: for this address only, write ${textOf(address)}/${bits}`);
	const prefixLength = Number(length);
	if (prefixLength > bits) throw new BadValue(`must have a prefix length from 0 to ${bits}`);
	if (bits === 128 && prefixLength >= 96 && (address as ipaddr.IPv6).isIPv4MappedAddress()) {
		const inner = (address as ipaddr.IPv6).toIPv4Address();
		throw new BadValue(`must be written as IPv4: ${cut(inner, prefixLength - 96).text}`);
	}
	const network = cut(address, prefixLength);
	if (network.address.some((byte, at) => byte !== bytes[at])) {
		throw new BadValue(`must have no bits set beyond its prefix: the network is ${network.text}`);
	}
	return network;
}

function cut(address: Parsed, prefixLength: number): Network {
	const bytes = address.toByteArray().map((byte, at) => {
		const kept = Math.min(8, Math.max(0, prefixLength - at * 8));
		return byte & (0xff00 >> kept) & 0xff;
	});
	const text = `${textOf(ipaddr.fromByteArray(bytes))}/${prefixLength}`;
	return { family: bytes.length === 4 ? 4 : 6, address: bytes, prefixLength, text };
}

/** @throws BadValue when the text is not `ADDR:PORT` */
function parseListenAddress(text: string): ListenAddress {
	const [, six, other, digits] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? [];
	const port = Number(digits);
	if (other === '' || other === '*') {
		throw new BadValue(`must name an address: 0.0.0.0:${port} is every IPv4 address, [::]:${port} every address`);
	}
	const address = parseAddress(six ?? other ?? '');
	const family = six === undefined ? 4 : 6;
	if (address === undefined || address.kind() !== `ipv${family}` || port > 65535) throw new BadValue(listenError);
	return { family, text: textOf(address), port };
}

/** The address as it is written in the file. */
export function formatListenAddress(address: ListenAddress | undefined): string {
	if (address === undefined) return 'off';
	return address.family === 6 ? `[${address.text}]:${address.port}` : `${address.text}:${address.port}`;
}

/** Whether one of the networks contains the address: 4 or 16 bytes, network order. */
export function networksInclude(networks: readonly Network[], family: 4 | 6, address: ArrayLike<number>): boolean {
	return networks.some((network) => {
		if (network.family !== family) return false;
		const whole = network.prefixLength >> 3;
		const mask = (0xff00 >> (network.prefixLength & 7)) & 0xff;
		for (let at = 0; at < whole; at++) if (network.address[at] !== address[at]) return false;
		return mask === 0 || network.address[whole] === ((address[whole] ?? 0) & mask);
	});
}
