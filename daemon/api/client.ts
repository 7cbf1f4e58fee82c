// SPDX-License-Identifier: Apache-2.0
/** A client in the JSON of the API (see connection.ts for the conventions). */

/** A client as `/v1/clients` returns it. */
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
	/** Sum over the closed connections. */
	readonly duration_sum_ns: string;
}
