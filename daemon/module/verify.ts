// SPDX-License-Identifier: Apache-2.0
/**
 * Verifies that a loaded toa.ko delivers client addresses: makes one connection over loopback,
 * sends a segment with a hand-made option on it, and calls getsockopt(4096).
 */
import ipaddr from 'ipaddr.js';
import { native } from '../../native/binding.ts';
import { networksInclude } from '../config/cidr.ts';
import type { Config } from '../config/config.ts';
import type { Profile } from '../config/profile.ts';
import { ToascopeError } from '../errors.ts';
import { requireCapabilities } from '../host/privileges.ts';
import { readEvents } from './counters.ts';

const loopback = [127, 0, 0, 1];
/** Addresses reserved for documentation (RFC 5737, RFC 3849), which belong to no host. */
const clients = { 4: '192.0.2.99', 6: '2001:db8::99' };
const clientPort = 40_999;
const attempts = 3;

/** Encodes a client's address and port as an option in the layout of a profile. */
export function encodeOption(
	{ kind, length, family, addressAt, portAt, version }: Profile,
	address: string,
	port: number,
): Buffer {
	const option = Buffer.alloc(length);
	option[0] = kind;
	option[1] = length;
	if (version !== undefined) option[2] = version;
	if (portAt !== undefined) option.writeUInt16BE(port, portAt);
	option.set(
		ipaddr
			.parse(address)
			.toByteArray()
			.slice(0, family === 4 ? 4 : 16),
		addressAt,
	);
	return option;
}

/** Formats a struct toa_nat64_peer as `ADDRESS PORT`. */
export function formatClient(peer: Uint8Array): string {
	const port = ((peer[16] ?? 0) << 8) | (peer[17] ?? 0);
	return `${ipaddr.process(ipaddr.fromByteArray([...peer.subarray(0, 16)]).toString()).toString()} ${port}`;
}

/**
 * Requires the configuration to be in force for the module. If loopback is not a trusted network,
 * the option must be counted as `untrusted`.
 * @throws {ToascopeError} MODULE_SILENT, NO_PRIVILEGE
 */
export function verifyModule({ profiles, trust, sockopt }: Config): void {
	requireCapabilities('verifying that toa.ko works', ['CAP_NET_ADMIN', 'CAP_NET_RAW']);
	const refusesIpv4 = sockopt.ipv4 === 'refuse';
	const usable = profiles.filter(({ addressAt }) => addressAt !== undefined);
	const profile = ((refusesIpv4 ? usable.find(({ family }) => family === 6) : undefined) ?? usable[0]) as Profile;
	const client = clients[profile.family];
	const port = profile.portAt === undefined ? 0 : clientPort;
	const trusted = trust.length === 0 || networksInclude(trust, 4, loopback);
	const option = encodeOption(profile, client, port);
	let failure = '';
	// the segment bypasses the connection's socket and can arrive too late on a busy host
	for (let attempt = 0; attempt < attempts; attempt++) {
		if (!trusted) failure = checkRefused(option, 'verdict_untrusted', 'from an untrusted peer');
		else if (refusesIpv4 && profile.family === 4) failure = checkRefused(option, 'asked_ipv4', 'with an IPv4 client');
		else failure = checkTrusted(option, `${client} ${port}`);
		if (failure === '') return;
	}
	throw new ToascopeError('MODULE_SILENT', `toa.ko is loaded but does not deliver client addresses: ${failure}`, {
		hint: 'another module or program might answer in its place; check the kernel log for the cause: dmesg | grep TOA',
	});
}

/** Returns what is wrong; empty: nothing is. */
function checkTrusted(option: Buffer, client: string): string {
	const { errnoBefore, errnoAfter, peer } = native().probeModule(option);
	if (errnoBefore !== 'EINVAL') {
		return `getsockopt(4096) without TOA returned ${errnoBefore || 'an address'} instead of EINVAL`;
	}
	if (peer === undefined) return `getsockopt(4096) with TOA failed with ${errnoAfter}`;
	const found = formatClient(peer);
	return found === client ? '' : `getsockopt(4096) returned ${found} instead of ${client}`;
}

/** `event`: the counter of the reason why getsockopt(4096) returns EINVAL. */
function checkRefused(option: Buffer, event: string, which: string): string {
	const count = () => readEvents()[event];
	const before = count();
	const { errnoAfter } = native().probeModule(option);
	if (errnoAfter !== 'EINVAL') {
		return `getsockopt(4096) for an option ${which} returned ${errnoAfter || 'an address'} instead of EINVAL`;
	}
	const after = count();
	// only the initial network namespace has the counters; in others EINVAL has to suffice
	if (before === undefined || after === undefined) return '';
	return after > before ? '' : `an option ${which} was not counted`;
}
