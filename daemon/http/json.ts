// SPDX-License-Identifier: Apache-2.0
/** The model as the API shows it: snake_case keys, null for what is not known, 64-bit integers as decimal strings. */
import type { ClientEndpoint, Endpoint } from '../model/address.ts';
import type { Connection, VirtualServer } from '../model/connection.ts';
import type { ClientSeries } from '../model/snapshot.ts';
import type { Clock } from './ports.ts';
import { formatTime } from './time.ts';

export interface EndpointJson {
	readonly address: string;
	readonly port: number;
}

export interface ClientEndpointJson {
	readonly address: string;
	/** null: the option carried none. */
	readonly port: number | null;
}

export interface VirtualServerJson {
	readonly address: string;
	/** null: the option carried none. */
	readonly port: number | null;
	/** Of its virtual network; null: the option carried none. */
	readonly vni: number | null;
}

/** A connection as `/v1/connections` gives it. */
export interface ConnectionJson {
	/** The other end as the server's kernel sees it. */
	readonly peer: EndpointJson;
	/** The real client; null without a believable TOA. */
	readonly client: ClientEndpointJson | null;
	/** What the client called, at the balancer; null: no believable option named it. */
	readonly virtual_server: VirtualServerJson | null;
	readonly local: EndpointJson;
	readonly netns: number;
	readonly verdict: string;
	readonly profile: string | null;
	readonly segment: string | null;
	readonly state: 'open' | 'closed';
	readonly opened_at: string;
	readonly accepted_at: string | null;
	readonly closed_at: string | null;
	readonly seen: string | null;
	readonly process: {
		readonly pid: number;
		readonly comm: string;
		readonly cgroup_id: string;
		readonly by: 'accept' | 'listener';
	} | null;
	readonly received_bytes: string;
	readonly sent_bytes: string;
	readonly retransmitted_segments: number;
	readonly rtt_seconds: number | null;
}

export function connectionJson(connection: Connection, clock: Clock): ConnectionJson {
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
		rtt_seconds: connection.srttUs === undefined ? null : connection.srttUs / 1e6,
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

/** A client as `/v1/clients` gives it. */
export interface ClientJson {
	readonly client: string;
	readonly listener: string;
	/** When its series began. */
	readonly since: string;
	readonly connections_active: string;
	readonly connections_opened: string;
	readonly connections_closed: string;
	readonly received_bytes: string;
	readonly sent_bytes: string;
	readonly retransmitted_segments: string;
	/** Sum and number of the samples. */
	readonly rtt_sum_ns: string;
	readonly rtt_count: string;
	/** Of the closed connections. */
	readonly duration_sum_ns: string;
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

/** JSON text in which every bigint is a decimal string. */
export function stringify(value: unknown): string {
	return JSON.stringify(value, (_key, member: unknown) => (typeof member === 'bigint' ? String(member) : member));
}
