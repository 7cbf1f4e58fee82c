// SPDX-License-Identifier: Apache-2.0
/**
 * Connections to the daemon's own HTTP, such as scrapes. They are counted like all others, but do
 * not come through a balancer.
 */
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os';
import { type Endpoint, formatEndpoint } from '../model/address.ts';
import type { Snapshot } from '../model/snapshot.ts';

/**
 * Names of the listeners that are this daemon's HTTP. The counters of a listener are by address and
 * port, for all network namespaces together: a listener that ever had an option can be a server's
 * in another namespace, and is left for the doctor to report.
 */
export function ownListeners(
	{ listeners }: Snapshot,
	listening: Endpoint | undefined,
	interfaces: () => NodeJS.Dict<NetworkInterfaceInfo[]> = networkInterfaces,
): ReadonlySet<string> {
	if (listening === undefined) return new Set();
	const isWildcard = listening.text === '0.0.0.0' || listening.text === '::';
	const names = isWildcard ? namesOn(listening, interfaces()) : new Set([formatEndpoint(listening)]);
	return new Set(
		listeners
			.filter(({ listener, handshakes: { toa, conflict, untrusted, malformed } }) => {
				return names.has(listener) && toa + conflict + untrusted + malformed === 0n;
			})
			.map(({ listener }) => listener),
	);
}

/** Uses the addresses of this network namespace: a container has others. */
function namesOn({ port }: Endpoint, interfaces: NodeJS.Dict<NetworkInterfaceInfo[]>): Set<string> {
	const addresses = Object.values(interfaces).flatMap((each) => each ?? []);
	return new Set(
		addresses.map(({ family, address }) =>
			formatEndpoint({ family: family === 'IPv6' ? 6 : 4, text: address.replace(/%.*$/, ''), port }),
		),
	);
}
