// SPDX-License-Identifier: Apache-2.0
/**
 * The contents of a connection's span. Names follow the semantic conventions; `toascope.*` is used
 * where these have no name.
 */
import type { Connection } from '../../../model/connection.ts';

/** Seconds and nanoseconds since 1970: a form of time that the SDK does not round. */
export type SpanTime = [seconds: number, nanoseconds: number];

/** What is added to a connection's span at its end; the span began when the connection opened. */
export interface ConnectionSpan {
	/** Unix nanoseconds. */
	readonly endNs: bigint;
	readonly attributes: Record<string, string | number>;
	readonly events: readonly { readonly name: string; readonly time: SpanTime }[];
}

/**
 * No convention covers an accepted connection. Related ones (`DNS lookup`, `TLS client handshake`)
 * name the protocol and the operation but no address, because span names must have few values.
 */
export const SPAN_NAME = 'TCP connection';
const ACCEPTED_EVENT = 'toascope.connection.accepted';

const NS_PER_S = 1_000_000_000n;

/** Splits Unix nanoseconds exactly; a single Number is inexact, because they exceed 2^53. */
export function spanTime(unixNs: bigint): SpanTime {
	return [Number(unixNs / NS_PER_S), Number(unixNs % NS_PER_S)];
}

function ownerAttributes(connection: Connection, containerId: string | undefined): Record<string, string | number> {
	const { owner } = connection;
	if (owner === undefined) return {};
	return {
		'process.pid': owner.pid,
		'process.executable.name': owner.comm,
		...(containerId !== undefined && { 'container.id': containerId }),
		'toascope.owner': owner.by,
	};
}

function virtualServerAttributes({ virtualServer }: Connection): Record<string, string | number> {
	if (virtualServer === undefined) return {};
	const { endpoint, vni } = virtualServer;
	return {
		'toascope.virtual_server.address': endpoint.text,
		...(endpoint.port !== undefined && { 'toascope.virtual_server.port': endpoint.port }),
		...(vni !== undefined && { 'toascope.virtual_server.vni': vni }),
	};
}

/** The attributes that are known when a connection opens, for the sampler. */
export function startAttributes(connection: Connection): Record<string, string | number> {
	const { client, peer, local } = connection;
	return {
		...(client !== undefined && { 'client.address': client.text }),
		...(client?.port !== undefined && { 'client.port': client.port }),
		'network.peer.address': peer.text,
		'network.peer.port': peer.port,
		'network.local.address': local.text,
		'network.local.port': local.port,
		'server.address': local.text,
		'server.port': local.port,
		'network.transport': 'tcp',
		'network.type': peer.family === 4 ? 'ipv4' : 'ipv6',
		...virtualServerAttributes(connection),
		'toascope.verdict': connection.verdict,
		...(connection.profile !== undefined && { 'toascope.profile': connection.profile }),
		...(connection.segment !== undefined && { 'toascope.segment': connection.segment }),
		'toascope.netns': connection.netns,
	};
}

/**
 * The rest of the span of a closed connection with a client, or undefined for any other.
 * @param unixNs converts CLOCK_MONOTONIC nanoseconds to nanoseconds since 1970
 */
export function connectionSpan(
	connection: Connection,
	unixNs: (monotonicNs: bigint) => bigint,
	containerId: string | undefined,
): ConnectionSpan | undefined {
	const { client, openedNs, acceptedNs, closedNs, error } = connection;
	if (client === undefined || closedNs === undefined) return undefined;
	const startNs = unixNs(openedNs);
	// if the wall clock was set back meanwhile, the end must not precede the start: the time that
	// really elapsed is added to the start
	const endOf = (ns: bigint): bigint => {
		const wallNs = unixNs(ns);
		return wallNs < startNs ? startNs + (ns - openedNs) : wallNs;
	};
	return {
		endNs: endOf(closedNs),
		attributes: {
			...ownerAttributes(connection, containerId),
			...(connection.seen !== undefined && { 'toascope.accept.seen': connection.seen }),
			...(acceptedNs !== undefined && { 'toascope.accept.wait_seconds': Number(acceptedNs - openedNs) / 1e9 }),
			// Exact below 2^53 bytes (9 PB) in one connection: the SDK has no wider numbers.
			'toascope.received_bytes': Number(connection.receivedBytes),
			'toascope.sent_bytes': Number(connection.sentBytes),
			'toascope.retransmitted_segments': connection.retransmittedSegments,
			...(connection.rttNs !== undefined && { 'toascope.rtt_seconds': connection.rttNs / 1e9 }),
			...(error !== undefined && { 'error.type': error }),
		},
		events: acceptedNs === undefined ? [] : [{ name: ACCEPTED_EVENT, time: spanTime(endOf(acceptedNs)) }],
	};
}
