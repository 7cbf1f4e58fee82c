// SPDX-License-Identifier: Apache-2.0
/**
 * Finds the busiest peers of the connections in the table, by verdict: read when a user asks why
 * TOA does not arrive.
 */

import type { BpfObject } from '../../../native/binding.ts';
import { type Network, networksInclude } from '../../config/cidr.ts';
import type { Yield } from '../../event_loop.ts';
import { formatAddress, formatEndpoint } from '../../model/address.ts';
import type { PeerCount, Peers } from '../../model/peers.ts';
import type { FinalVerdict } from '../../model/snapshot.ts';
import { connectionLayout, endpointLayout } from '../records/layout.gen.ts';
import { verdicts } from '../records/records.ts';
import { ListenerEndpoints } from './listener_endpoints.ts';

/** The most slots that are read, evenly spread over a larger table. */
const slotsMax = 65_536;
/** Slots that are read before yielding: each takes a system call of about a microsecond. */
const slotsPerBatch = 2000;
/** The most peers that are counted: the busiest ones are found before this many. */
const peersMax = 10_000;
/** The most peers that are reported for each verdict. */
const shownMax = 5;

interface Peer {
	connections: number;
	readonly verdict: FinalVerdict;
	readonly family: 4 | 6;
	readonly address: Buffer;
	readonly listener: string;
}

/** Counts connections that are open, or that closed less than `retainNs` ago. */
export async function findBusyPeers(
	bpf: BpfObject,
	trust: readonly Network[],
	nowNs: bigint,
	retainNs: bigint,
	yieldLoop: Yield,
): Promise<Omit<Peers, 'listening'>> {
	const peers = new Map<string, Peer>();
	const slot = Buffer.alloc(4);
	const value = Buffer.alloc(connectionLayout.size);
	const table = bpf.map('connections');
	const { maxEntries } = table;
	const samples = Math.min(maxEntries, slotsMax);
	const listeners = new ListenerEndpoints(bpf);
	let connections = 0;
	for (let sample = 0; sample < samples; sample++) {
		if (sample % slotsPerBatch === slotsPerBatch - 1) await yieldLoop();
		slot.writeUInt32LE(Math.floor((sample * maxEntries) / samples));
		if (!table.lookup(slot, value) || value.readBigUInt64LE(connectionLayout.cookie) === 0n) continue;
		const closedNs = value.readBigUInt64LE(connectionLayout.closedNs);
		if (closedNs !== 0n && closedNs + retainNs < nowNs) continue;
		if (count(value, peers, listeners)) connections++;
	}
	return { connections, busiest: busiest(peers.values(), trust) };
}

/** False: the connection has no verdict yet. */
function count(value: Buffer, peers: Map<string, Peer>, listeners: ListenerEndpoints): boolean {
	const verdict = verdicts[value[connectionLayout.verdict] ?? 0] ?? 'pending';
	const at = connectionLayout.peer;
	const family = value[at + endpointLayout.family];
	if (verdict === 'pending' || (family !== 4 && family !== 6)) return false;
	const start = at + endpointLayout.address;
	const name = `${verdict} ${family} ${value.toString('latin1', start, start + 16)}`;
	const known = peers.get(name);
	if (known !== undefined) {
		known.connections++;
	} else if (peers.size < peersMax) {
		const local = listeners.of(value, 0);
		const listener = local === undefined ? 'other' : formatEndpoint(local);
		const address = Buffer.from(value.subarray(start, start + (family === 4 ? 4 : 16)));
		peers.set(name, { verdict, family, address, listener, connections: 1 });
	}
	return true;
}

function busiest(peers: Iterable<Peer>, trust: readonly Network[]): PeerCount[] {
	const sorted = [...peers].sort((a, b) => b.connections - a.connections);
	const shown = new Map<FinalVerdict, number>();
	return sorted
		.filter(({ verdict }) => {
			shown.set(verdict, (shown.get(verdict) ?? 0) + 1);
			return (shown.get(verdict) ?? 0) <= shownMax;
		})
		.map(({ verdict, family, address, listener, connections }) => ({
			address: formatAddress(family, address),
			verdict,
			listener,
			trusted: networksInclude(trust, family, address),
			connections,
		}));
}
