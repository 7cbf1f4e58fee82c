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

/** `trace`: the ids of its span; undefined: it has none. */
export function connectionJson(connection: Connection, clock: Clock, trace?: TraceIds): ConnectionJson {
	const { owner } = connection;
	const time = (ns: bigint): string => formatTime(clock.toUnixNs(ns));
	return {
		peer: endpointJson(connection.peer),
		client: connection.client === undefined ? null : clientEndpointJson(connection.client),
		virtual_server: connection.virtualServer === undefined ? null : virtualServerJson(connection.virtualServer),
		local: endpointJson(connection.local),
		netns: connection.netns,
		verdict: connection.verdict,
		profile: connection.profile ?? null,
		segment: connection.segment ?? null,
		state: connection.state,
		opened_at: time(connection.openedNs),
		accepted_at: connection.acceptedNs === undefined ? null : time(connection.acceptedNs),
		closed_at: connection.closedNs === undefined ? null : time(connection.closedNs),
		seen: connection.seen ?? null,
		process:
			owner === undefined
				? null
				: { pid: owner.pid, comm: owner.comm, cgroup_id: String(owner.cgroupId), by: owner.by },
		received_bytes: String(connection.receivedBytes),
		sent_bytes: String(connection.sentBytes),
		retransmitted_segments: connection.retransmittedSegments,
		rtt_seconds: connection.rttNs === undefined ? null : connection.rttNs / 1e9,
		error: connection.error ?? null,
		trace_id: trace?.traceId ?? null,
		span_id: trace?.spanId ?? null,
	};
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
