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
	// ipaddr.js rejects text of the other family by an exception, which is slow
	if (!text.includes(':')) return ipaddr.IPv4.isValidFourPartDecimal(text) ? ipaddr.IPv4.parse(text) : undefined;
	// a zone names an interface of one machine, and no TCP option carries one
	return text.includes('%') || !ipaddr.IPv6.isValid(text) ? undefined : ipaddr.IPv6.parse(text);
}

/** @throws BadValue when the text is not a network, or has bits set beyond its prefix */
export function parseNetwork(text: string): Network {
	const [, host = '', length] = /^([^/]*)(?:\/(\d{1,3}))?$/.exec(text) ?? [];
	const address = parseAddress(host);
	if (address === undefined) throw new BadValue(networkError);
	const bits = address instanceof ipaddr.IPv4 ? 32 : 128;
	if (length === undefined)
		throw new BadValue(`must have a prefix length: for this address only, write ${address}/${bits}`);
	const prefixLength = Number(length);
	if (prefixLength > bits) throw new BadValue(`must have a prefix length from 0 to ${bits}`);
	if (address instanceof ipaddr.IPv6 && prefixLength >= 96 && address.isIPv4MappedAddress()) {
		throw new BadValue(`must be written as IPv4: ${cut(address.toIPv4Address(), prefixLength - 96).text}`);
	}
	const network = cut(address, prefixLength);
	if (network.text !== `${address}/${prefixLength}`) {
		throw new BadValue(`must have no bits set beyond its prefix: the network is ${network.text}`);
	}
	return network;
}

function cut(address: Parsed, prefixLength: number): Network {
	const [family, kind] = address instanceof ipaddr.IPv4 ? ([4, ipaddr.IPv4] as const) : ([6, ipaddr.IPv6] as const);
	const first = kind.networkAddressFromCIDR(`${address}/${prefixLength}`);
	return { family, address: first.toByteArray(), prefixLength, text: `${first}/${prefixLength}` };
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
	return { family, text: address.toString(), port };
}

/** The address as it is written in the file. */
export function formatListenAddress(address: ListenAddress | undefined): string {
	if (address === undefined) return 'off';
	return address.family === 6 ? `[${address.text}]:${address.port}` : `${address.text}:${address.port}`;
}

/**
 * Whether one of the networks contains the address: 4 or 16 bytes, as its family has, network
 * order.
 */
export function networksInclude(networks: readonly Network[], family: 4 | 6, address: ArrayLike<number>): boolean {
	const searched = ipaddr.fromByteArray(Array.from(address));
	const holds = ({ address, prefixLength }: Network) =>
		searched.match(ipaddr.fromByteArray([...address]), prefixLength);
	return networks.some((network) => network.family === family && holds(network));
}
