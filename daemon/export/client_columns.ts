// SPDX-License-Identifier: Apache-2.0
/**
 * The metrics of each client: which columns of the series table each of them shows. They have
 * thousands of series, so both exporters read them from the table, without a point for each.
 */
import type { Traffic } from '../model/traffic.ts';
import type { MetricOf } from './metric_table.ts';

export type ClientColumns =
	/** A counter. */
	| { readonly counter: keyof Traffic }
	/** A summary of times, in nanoseconds. */
	| { readonly sumNs: keyof Traffic; readonly count: keyof Traffic }
	/** The gauge of open connections. */
	| { readonly active: true };

/** In the order in which they are exported. */
export const clientColumns: Readonly<Record<MetricOf<'client'>, ClientColumns>> = {
	toascope_client_connections_opened_total: { counter: 'opened' },
	toascope_client_connections_closed_total: { counter: 'closed' },
	toascope_client_connections_active: { active: true },
	toascope_client_received_bytes_total: { counter: 'receivedBytes' },
	toascope_client_sent_bytes_total: { counter: 'sentBytes' },
	toascope_client_retransmitted_segments_total: { counter: 'retransmittedSegments' },
	toascope_client_rtt_seconds: { sumNs: 'rttSumNs', count: 'rttCount' },
	toascope_client_connection_duration_seconds: { sumNs: 'durationSumNs', count: 'closed' },
};
