// SPDX-License-Identifier: Apache-2.0
/**
 * Identifies the callers of the daemon, so that limits apply to each of them: one caller cannot use
 * up what others need.
 */
import type { Socket } from 'node:net';
import ipaddr from 'ipaddr.js';
import { native } from '../../native/binding.ts';
import { descriptorOf } from './descriptor.ts';

/** An IPv6 host can use any number of addresses of its network. */
const hostPrefix = 64;

/**
 * `uid N` for a process in this network namespace. Otherwise the IPv4 address or the IPv6 network;
 * `unknown` if there is no address.
 */
export function callerOf(socket: Socket): string {
	const fd = descriptorOf(socket);
	const uid = fd === undefined ? undefined : native().peerOwner(fd);
	if (uid !== undefined) return `uid ${uid}`;
	const { remoteAddress } = socket;
	if (remoteAddress === undefined || !ipaddr.isValid(remoteAddress)) return 'unknown';
	const address = ipaddr.process(remoteAddress);
	if (address.kind() === 'ipv4') return address.toString();
	return `${ipaddr.IPv6.networkAddressFromCIDR(`${address.toNormalizedString()}/${hostPrefix}`)}/${hostPrefix}`;
}
