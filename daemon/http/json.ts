// SPDX-License-Identifier: Apache-2.0
/**
 * Converts the model to the JSON of the API: snake_case keys, null for unknown values, and 64-bit
 * integers as decimal strings.
 */
import type { ClientJson } from '../api/client.ts';
import type { ClientEndpointJson, ConnectionJson, EndpointJson, VirtualServerJson } from '../api/connection.ts';
import { formatTime } from '../api/time.ts';
import type { ClientEndpoint, Endpoint } from '../model/address.ts';
import type { Connection, VirtualServer } from '../model/connection.ts';
import type { ClientSeries } from '../model/series.ts';
import type { TraceIds } from '../model/trace_ids.ts';
import type { Clock } from './view.ts';

/** What a connection's JSON needs besides the connection. */
export interface ConnectionContext {
	readonly clock: Clock;
	/** The ids of its span; undefined: it has none. */
	readonly traceOf: (connection: Connection) => TraceIds | undefined;
	readonly containerOf: (connection: Connection) => string | undefined;
}

export type ConnectionField = keyof ConnectionJson;

const time = ({ clock }: ConnectionContext, ns: bigint): string => formatTime(clock.toUnixNs(ns));

/** How each field is read. */
const readers: {
	readonly [Field in ConnectionField]: (connection: Connection, context: ConnectionContext) => ConnectionJson[Field];
} = {
	peer: ({ peer }) => endpointJson(peer),
	client: ({ client }) => (client === undefined ? null : clientEndpointJson(client)),
	virtual_server: ({ virtualServer }) => (virtualServer === undefined ? null : virtualServerJson(virtualServer)),
	local: ({ local }) => endpointJson(local),
	netns: ({ netns }) => netns,
	verdict: ({ verdict }) => verdict,
	profile: ({ profile }) => profile ?? null,
	segment: ({ segment }) => segment ?? null,
	state: ({ state }) => state,
	opened_at: ({ openedNs }, context) => time(context, openedNs),
	accepted_at: ({ acceptedNs }, context) => (acceptedNs === undefined ? null : time(context, acceptedNs)),
	closed_at: ({ closedNs }, context) => (closedNs === undefined ? null : time(context, closedNs)),
	seen: ({ seen }) => seen ?? null,
	process: (connection, context) => processJson(connection, context),
	received_bytes: ({ receivedBytes }) => String(receivedBytes),
	sent_bytes: ({ sentBytes }) => String(sentBytes),
	retransmitted_segments: ({ retransmittedSegments }) => retransmittedSegments,
	rtt_seconds: ({ rttNs }) => (rttNs === undefined ? null : rttNs / 1e9),
	accept_wait_seconds: ({ acceptedNs, openedNs }) =>
		acceptedNs === undefined ? null : Number(acceptedNs - openedNs) / 1e9,
	error: ({ error }) => error ?? null,
	trace_id: (connection, context) => context.traceOf(connection)?.traceId ?? null,
	span_id: (connection, context) => context.traceOf(connection)?.spanId ?? null,
};

export const connectionFields = Object.keys(readers) as readonly ConnectionField[];

export function isConnectionField(name: unknown): name is ConnectionField {
	return typeof name === 'string' && Object.hasOwn(readers, name);
}

export function connectionJson(connection: Connection, context: ConnectionContext): ConnectionJson {
	return connectionPart(connection, connectionFields, context) as ConnectionJson;
}

/** Some fields of a connection. */
export function connectionPart(
	connection: Connection,
	fields: readonly ConnectionField[],
	context: ConnectionContext,
): Partial<ConnectionJson> {
	const part: Record<string, unknown> = {};
	for (const field of fields) part[field] = readers[field](connection, context);
	return part;
}

function processJson(connection: Connection, { containerOf }: ConnectionContext): ConnectionJson['process'] {
	const { owner } = connection;
	if (owner === undefined) return null;
	const { pid, comm, cgroupId, by } = owner;
	return { pid, comm, cgroup_id: String(cgroupId), container_id: containerOf(connection) ?? null, by };
}

function endpointJson({ text, port }: Endpoint): EndpointJson {
	return { address: text, port };
}

function clientEndpointJson({ text, port }: ClientEndpoint): ClientEndpointJson {
	return { address: text, port: port ?? null };
}

function virtualServerJson({ endpoint, vni }: VirtualServer): VirtualServerJson {
	return { ...clientEndpointJson(endpoint), vni: vni ?? null };
}

export function clientJson({ client, listener, sinceNs, traffic, active }: ClientSeries): ClientJson {
	return {
		client,
		listener,
		since: formatTime(sinceNs),
		connections_active: String(active),
		connections_opened: String(traffic.opened),
		connections_closed: String(traffic.closed),
		received_bytes: String(traffic.receivedBytes),
		sent_bytes: String(traffic.sentBytes),
		retransmitted_segments: String(traffic.retransmittedSegments),
		rtt_sum_ns: String(traffic.rttSumNs),
		rtt_count: String(traffic.rttCount),
		duration_sum_ns: String(traffic.durationSumNs),
	};
}
