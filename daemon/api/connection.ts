// SPDX-License-Identifier: Apache-2.0
/**
 * A connection in the JSON of the API. Keys are snake_case, null means unknown, 64-bit integers are
 * decimal strings, times are RFC 3339 with nanoseconds.
 */

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
	/** Identifier of its virtual network (VNI); null: the option carried none. */
	readonly vni: number | null;
}

/** A connection as `/v1/connections` returns it. */
export interface ConnectionJson {
	/** The other end of the server's socket: the balancer or NAT64 gateway. */
	readonly peer: EndpointJson;
	/** The client in the option; null: no trusted option named one. */
	readonly client: ClientEndpointJson | null;
	/** The balancer's address that the client connected to; null: no trusted option named it. */
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
		/** 64 hexadecimal digits; null: it runs in no container that its cgroup names. */
		readonly container_id: string | null;
		readonly by: 'accept' | 'listener';
	} | null;
	readonly received_bytes: string;
	readonly sent_bytes: string;
	readonly retransmitted_segments: number;
	readonly rtt_seconds: number | null;
	/** How long it waited for accept(). */
	readonly accept_wait_seconds: number | null;
	/**
	 * Name of the errno with which it ended: `ECONNRESET` (the peer reset it), `ECONNABORTED` (the
	 * server did), `ETIMEDOUT` ...; null: orderly, or still open.
	 */
	readonly error: string | null;
	/**
	 * Ids of its span, in hexadecimal, also while it is open; null: spans are not sent, or it has no
	 * client. The sampler can leave the span out.
	 */
	readonly trace_id: string | null;
	readonly span_id: string | null;
}
