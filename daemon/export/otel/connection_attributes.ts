// SPDX-License-Identifier: Apache-2.0
/**
 * The attributes of a connection, in its span and in its records. Names follow the semantic
 * conventions; `toascope.*` is used where these have no name.
 */
import type { Connection } from '../../model/connection.ts';

/** An integer is a bigint, so that it stays exact; a number is a double. */
export type AttributeValue = string | number | bigint;
export type Attributes = Record<string, AttributeValue>;

function ownerAttributes(connection: Connection, containerId: string | undefined): Attributes {
	const { owner } = connection;
	if (owner === undefined) return {};
	return {
		'process.pid': BigInt(owner.pid),
		'process.executable.name': owner.comm,
		...(containerId !== undefined && { 'container.id': containerId }),
		'toascope.owner': owner.by,
	};
}

function virtualServerAttributes({ virtualServer }: Connection): Attributes {
	if (virtualServer === undefined) return {};
	const { endpoint, vni } = virtualServer;
	return {
		'toascope.virtual_server.address': endpoint.text,
		...(endpoint.port !== undefined && { 'toascope.virtual_server.port': BigInt(endpoint.port) }),
		...(vni !== undefined && { 'toascope.virtual_server.vni': BigInt(vni) }),
	};
}

/** The attributes that are known when a connection opens. */
export function startAttributes(connection: Connection): Attributes {
	const { client, peer, local } = connection;
	return {
		...(client !== undefined && { 'client.address': client.text }),
		...(client?.port !== undefined && { 'client.port': BigInt(client.port) }),
		'network.peer.address': peer.text,
		'network.peer.port': BigInt(peer.port),
		'network.local.address': local.text,
		'network.local.port': BigInt(local.port),
		'server.address': local.text,
		'server.port': BigInt(local.port),
		'network.transport': 'tcp',
		'network.type': peer.family === 4 ? 'ipv4' : 'ipv6',
		...virtualServerAttributes(connection),
		'toascope.verdict': connection.verdict,
		...(connection.profile !== undefined && { 'toascope.profile': connection.profile }),
		...(connection.segment !== undefined && { 'toascope.segment': connection.segment }),
		'toascope.netns': BigInt(connection.netns),
	};
}

/** What is known only later: at the close, or when the open connection is read. */
export function laterAttributes(connection: Connection, containerId: string | undefined): Attributes {
	const { openedNs, acceptedNs, error } = connection;
	return {
		...ownerAttributes(connection, containerId),
		...(connection.seen !== undefined && { 'toascope.accept.seen': connection.seen }),
		...(acceptedNs !== undefined && { 'toascope.accept.wait_seconds': Number(acceptedNs - openedNs) / 1e9 }),
		'toascope.received_bytes': connection.receivedBytes,
		'toascope.sent_bytes': connection.sentBytes,
		'toascope.retransmitted_segments': BigInt(connection.retransmittedSegments),
		...(connection.rttNs !== undefined && { 'toascope.rtt_seconds': connection.rttNs / 1e9 }),
		...(error !== undefined && { 'error.type': error }),
	};
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
