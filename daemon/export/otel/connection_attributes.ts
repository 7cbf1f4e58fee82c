// SPDX-License-Identifier: Apache-2.0
/**
 * The attributes of a connection, in its span and in its records. Names follow the semantic
 * conventions; `toascope.*` is used where these have no name.
 */
import type { Connection } from '../../model/connection.ts';

/** An integer is a bigint, so that it stays exact; a number is a double. */
export type AttributeValue = string | number | bigint;
export type AddAttribute = (name: string, value: AttributeValue) => void;
/**
 * Attributes are passed on one by one, in place of an object: at ten thousand connections a second,
 * objects with twenty of them are most of the daemon's garbage.
 */
export type Attributes = (add: AddAttribute) => void;

/** Adds the attributes that are known when a connection opens. */
export function addStartAttributes(connection: Connection, add: AddAttribute): void {
	const { client, peer, local, profile, segment } = connection;
	if (client !== undefined) add('client.address', client.text);
	if (client?.port !== undefined) add('client.port', BigInt(client.port));
	add('network.peer.address', peer.text);
	add('network.peer.port', BigInt(peer.port));
	add('network.local.address', local.text);
	add('network.local.port', BigInt(local.port));
	add('server.address', local.text);
	add('server.port', BigInt(local.port));
	add('network.transport', 'tcp');
	add('network.type', peer.family === 4 ? 'ipv4' : 'ipv6');
	addVirtualServer(connection, add);
	add('toascope.verdict', connection.verdict);
	if (profile !== undefined) add('toascope.profile', profile);
	if (segment !== undefined) add('toascope.segment', segment);
	add('toascope.netns', BigInt(connection.netns));
}

function addVirtualServer({ virtualServer }: Connection, add: AddAttribute): void {
	if (virtualServer === undefined) return;
	const { endpoint, vni } = virtualServer;
	add('toascope.virtual_server.address', endpoint.text);
	if (endpoint.port !== undefined) add('toascope.virtual_server.port', BigInt(endpoint.port));
	if (vni !== undefined) add('toascope.virtual_server.vni', BigInt(vni));
}

/** Adds what is known only later: at the close, or when the open connection is read. */
export function addLaterAttributes(connection: Connection, containerId: string | undefined, add: AddAttribute): void {
	const { owner, seen, openedNs, acceptedNs, rttNs, error } = connection;
	if (owner !== undefined) {
		add('process.pid', BigInt(owner.pid));
		add('process.executable.name', owner.comm);
		if (containerId !== undefined) add('container.id', containerId);
		add('toascope.owner', owner.by);
	}
	if (seen !== undefined) add('toascope.accept.seen', seen);
	if (acceptedNs !== undefined) add('toascope.accept.wait_seconds', Number(acceptedNs - openedNs) / 1e9);
	add('toascope.received_bytes', connection.receivedBytes);
	add('toascope.sent_bytes', connection.sentBytes);
	add('toascope.retransmitted_segments', BigInt(connection.retransmittedSegments));
	if (rttNs !== undefined) add('toascope.rtt_seconds', rttNs / 1e9);
	if (error !== undefined) add('error.type', error);
}

/**
 * Returns how the times of a connection are converted to the wall clock: if that was set back
 * meanwhile, the end must not precede the start, so the time that really elapsed is added to the
 * start.
 * @param unixNs converts CLOCK_MONOTONIC nanoseconds to nanoseconds since 1970
 */
export function wallTime(
	{ openedNs }: Connection,
	unixNs: (monotonicNs: bigint) => bigint,
): (monotonicNs: bigint) => bigint {
	const startNs = unixNs(openedNs);
	return (ns) => {
		const wallNs = unixNs(ns);
		return wallNs < startNs ? startNs + (ns - openedNs) : wallNs;
	};
}
