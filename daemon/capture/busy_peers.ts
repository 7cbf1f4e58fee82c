// SPDX-License-Identifier: Apache-2.0
/** The peers of connections in the table, by verdict: read when somebody asks why TOA does not arrive. */
import { type Network, networksInclude } from '../config/cidr.ts';
import { formatAddress, formatEndpoint } from '../model/address.ts';
import type { PeerCount, Peers } from '../model/peers.ts';
import type { Result } from '../model/snapshot.ts';
import type { NextTurn } from '../model/store.ts';
import { connectionLayout, endpointLayout } from './layout.gen.ts';
import { ListenerEnds } from './listener_ends.ts';
import type { BpfObject } from './native.ts';
import { verdicts } from './records.ts';

/** Places that are looked at, evenly spread over a larger table. */
const placesMax = 65_536;
/** Each is a call into the kernel of about a microsecond. */
const placesATurn = 2000;
/** Further peers are counted nowhere: the busiest were met before. */
const peersMax = 10_000;
/** Of each verdict. */
const shownMax = 5;

interface Peer {
	connections: number;
	readonly verdict: Result;
	readonly family: 4 | 6;
	readonly address: Buffer;
	readonly listener: string;
}

/** Connections that are open, or that closed less than `retainNs` ago. */
export async function findBusyPeers(
	bpf: BpfObject,
	trust: readonly Network[],
	nowNs: bigint,
	retainNs: bigint,
	nextTurn: NextTurn,
): Promise<Omit<Peers, 'listening'>> {
	const peers = new Map<string, Peer>();
	const place = Buffer.alloc(4);
	const value = Buffer.alloc(connectionLayout.size);
	const { maxEntries } = bpf.mapInfo('connections');
	const looks = Math.min(maxEntries, placesMax);
	const listeners = new ListenerEnds(bpf);
	let connections = 0;
	for (let look = 0; look < looks; look++) {
		if (look % placesATurn === placesATurn - 1) await nextTurn();
		place.writeUInt32LE(Math.floor((look * maxEntries) / looks));
		if (!bpf.lookup('connections', place, value) || value.readBigUInt64LE(connectionLayout.cookie) === 0n) continue;
		const closedNs = value.readBigUInt64LE(connectionLayout.closedNs);
		if (closedNs !== 0n && closedNs + retainNs < nowNs) continue;
		if (count(value, peers, listeners)) connections++;
	}
	return { connections, busiest: busiest(peers.values(), trust) };
}

/** False: it has no verdict yet. */
function count(value: Buffer, peers: Map<string, Peer>, listeners: ListenerEnds): boolean {
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
		const local = listeners.of(value);
		const listener = local === undefined ? 'other' : formatEndpoint(local);
		const address = Buffer.from(value.subarray(start, start + (family === 4 ? 4 : 16)));
		peers.set(name, { verdict, family, address, listener, connections: 1 });
	}
	return true;
}

function busiest(peers: Iterable<Peer>, trust: readonly Network[]): PeerCount[] {
	const sorted = [...peers].sort((a, b) => b.connections - a.connections);
	const shown = new Map<Result, number>();
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
