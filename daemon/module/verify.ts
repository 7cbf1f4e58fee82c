// SPDX-License-Identifier: Apache-2.0
/** Whether a loaded toa.ko does what it is for: one connection over loopback with a hand-made option, then getsockopt(4096). */
import ipaddr from 'ipaddr.js';
import { native } from '../capture/native.ts';
import { requireCapabilities } from '../capture/privileges.ts';
import { networksInclude } from '../config/cidr.ts';
import type { Config } from '../config/config.ts';
import type { Profile } from '../config/profiles.ts';
import { ToascopeError } from '../errors.ts';
import { readEvents } from './counters.ts';

const loopback = [127, 0, 0, 1];
/** Of the ranges for documentation (RFC 5737, RFC 3849): nobody's. */
const clients = { 4: '192.0.2.99', 6: '2001:db8::99' };
const clientPort = 40_999;
const attempts = 3;

/** An option of a profile that names an address and port. */
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

/** struct toa_nat64_peer as an address and port. */
export function readPeer(peer: Uint8Array): string {
	const port = ((peer[16] ?? 0) << 8) | (peer[17] ?? 0);
	return `${ipaddr.process(ipaddr.fromByteArray([...peer.subarray(0, 16)]).toString()).toString()} ${port}`;
}

/**
 * With the parameters of the configuration in force. Where loopback is not trusted the option must be counted as `untrusted`.
 * @throws {ToascopeError} MODULE_SILENT, NO_PRIVILEGE
 */
export function verifyModule({ profiles, trust, sockopt }: Config): void {
	requireCapabilities('checking what toa.ko does', ['CAP_NET_ADMIN', 'CAP_NET_RAW']);
	const refused = sockopt.ipv4 === 'refuse';
	const naming = profiles.filter(({ addressAt }) => addressAt !== undefined);
	const profile = ((refused ? naming.find(({ family }) => family === 6) : undefined) ?? naming[0]) as Profile;
	const client = clients[profile.family];
	const port = profile.portAt === undefined ? 0 : clientPort;
	const trusted = trust.length === 0 || networksInclude(trust, 4, loopback);
	const option = encodeOption(profile, client, port);
	let wrong = '';
	// the segment goes another way than the connection's own, and may come too late on a busy machine
	for (let attempt = 0; attempt < attempts; attempt++) {
		if (!trusted) wrong = askRefused(option, 'verdict_untrusted', 'an untrusted sender');
		else if (refused && profile.family === 4) wrong = askRefused(option, 'asked_ipv4', 'an IPv4 client');
		else wrong = askTrusted(option, `${client} ${port}`);
		if (wrong === '') return;
	}
	throw new ToascopeError('MODULE_SILENT', `toa.ko is loaded and does not work: ${wrong}`, {
		hint: 'another module or program may answer in its place; the kernel log may say more: dmesg | grep TOA',
	});
}

/** What is wrong; empty: nothing. */
function askTrusted(option: Buffer, client: string): string {
	const { without, with: errno, peer } = native().askModule(option);
	if (without !== 'EINVAL') return `getsockopt(4096) without TOA: ${without || 'an answer'}, not EINVAL`;
	if (peer === undefined) return `getsockopt(4096) with TOA: ${errno}`;
	const found = readPeer(peer);
	return found === client ? '' : `getsockopt(4096) says ${found} for ${client}`;
}

/** `event` counts the reason why there is no answer. */
function askRefused(option: Buffer, event: string, whose: string): string {
	const count = () => readEvents()[event];
	const before = count();
	const { with: errno } = native().askModule(option);
	if (errno !== 'EINVAL') return `getsockopt(4096) with TOA of ${whose}: ${errno || 'an answer'}, not EINVAL`;
	const after = count();
	// its counters are files of the initial network namespace: in others its own error must do
	if (before === undefined || after === undefined) return '';
	return after > before ? '' : `an option of ${whose} was not counted`;
}
