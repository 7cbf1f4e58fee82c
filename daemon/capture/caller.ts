// SPDX-License-Identifier: Apache-2.0
/** Callers of the daemon, by name: what one caller uses up, others do not have to do without. */
import type { Socket } from 'node:net';
import ipaddr from 'ipaddr.js';
import { descriptorOf } from './descriptor.ts';
import { native } from './native.ts';

/** An IPv6 host has as many addresses of its network as it likes. */
const hostPrefix = 64;

/** `uid N`: a process in this network namespace. Else the address, of IPv6 its network; `unknown` where there is none. */
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
