// SPDX-License-Identifier: Apache-2.0
/** The metrics that come from the snapshot, except those of each client (client_columns.ts). */
import type { ListenerTotals, ProgramUsage, Snapshot } from '../model/snapshot.ts';
import type { Traffic } from '../model/traffic.ts';
import type { MetricOf } from './metric_table.ts';
import { byLabel, integer, type Point, time } from './point.ts';

/** The only value of the module that also decreases: a gauge among its counters. */
const connectionsEvent = 'connections';

type Read = (snapshot: Snapshot) => Iterable<Point>;

export const snapshotPoints: Readonly<Record<MetricOf<'snapshot'>, Read>> = {
	toascope_handshakes_total: eachListener(({ listener, handshakes }) =>
		Object.entries(handshakes).map(([result, count]) => ({ labels: { listener, result }, value: integer(count) })),
	),
	toascope_handshakes_without_option_total: eachListener(({ listener, withoutOption }) =>
		withoutOption.map(({ trusted, data, count }) => ({
			labels: { listener, peer: trusted ? 'trusted' : 'untrusted', data: data ? 'yes' : 'no' },
			value: integer(count),
		})),
	),
	toascope_options_total: eachListener(({ listener, options }) =>
		options.map(({ profile, segment, count }) => ({ labels: { listener, profile, segment }, value: integer(count) })),
	),
	toascope_connections_hidden_by_family_total: eachListener(({ listener, hiddenByFamily }) => [
		{ labels: { listener }, value: integer(hiddenByFamily) },
	]),
	toascope_connections_opened_total: ofTraffic('total', 'opened'),
	toascope_connections_closed_total: ofTraffic('total', 'closed'),
	toascope_received_bytes_total: ofTraffic('total', 'receivedBytes'),
	toascope_sent_bytes_total: ofTraffic('total', 'sentBytes'),
	toascope_retransmitted_segments_total: ofTraffic('total', 'retransmittedSegments'),
	toascope_client_folded_connections_opened_total: ofTraffic('folded', 'opened'),
	toascope_client_folded_connections_closed_total: ofTraffic('folded', 'closed'),
	toascope_client_folded_received_bytes_total: ofTraffic('folded', 'receivedBytes'),
	toascope_client_folded_sent_bytes_total: ofTraffic('folded', 'sentBytes'),
	toascope_client_folded_retransmitted_segments_total: ofTraffic('folded', 'retransmittedSegments'),
	toascope_rtt_seconds: ofHistogram('rtt'),
	toascope_connection_duration_seconds: ofHistogram('duration'),
	toascope_accept_wait_seconds: ofHistogram('acceptWait'),
	toascope_accepts_total: eachListener(({ listener, accepts }) =>
		Object.entries(accepts).map(([seen, count]) => ({ labels: { listener, seen }, value: integer(count) })),
	),
	toascope_snapshot_timestamp_seconds: ({ atMs }) => [{ labels: {}, value: time(BigInt(atMs) * 1_000_000n) }],
	toascope_clients_tracked: single('clientsTracked'),
	toascope_clients_capacity: single('clientsCapacity'),
	toascope_clients_exported: single('clientsExported'),
	toascope_clients_folded_total: single('clientsFolded'),
	toascope_listeners_folded_total: single('listenersFolded'),
	toascope_clients_overflowed_total: single('clientsOverflowed'),
	toascope_drops_total: ({ drops }) => byLabel('reason', drops),
	toascope_connections_counted_total: ({ counted }) => byLabel('by', counted),
	toascope_module_events_total: ({ moduleEvents: { [connectionsEvent]: _, ...events } }) => byLabel('event', events),
	toascope_module_connections: ({ moduleEvents: { [connectionsEvent]: connections } }) =>
		connections === undefined ? [] : [{ labels: {}, value: integer(connections) }],
	toascope_map_entries: ({ maps }) => maps.map(({ map, entries }) => ({ labels: { map }, value: integer(entries) })),
	toascope_map_capacity: ({ maps }) => maps.map(({ map, capacity }) => ({ labels: { map }, value: integer(capacity) })),
	toascope_bpf_program_runs_total: whileCounted(({ program, runs }) => ({ labels: { program }, value: integer(runs) })),
	toascope_bpf_program_run_seconds_total: whileCounted(({ program, runNs }) => ({
		labels: { program },
		value: time(runNs),
	})),
	toascope_bpf_program_misses_total: ({ programs }) =>
		programs.flatMap(({ program, misses }) =>
			misses === undefined ? [] : [{ labels: { program }, value: integer(misses) }],
		),
};

/** No points while the kernel does not count runs, which it does for all programs or none. */
function whileCounted(point: (usage: ProgramUsage) => Point): Read {
	return ({ programs }) => (programs.some(({ runs }) => runs > 0n) ? programs.map(point) : []);
}

/** All series of a listener began at the same time. */
function eachListener(points: (totals: ListenerTotals) => Iterable<Point>): Read {
	return function* ({ listeners }) {
		for (const totals of listeners) {
			for (const point of points(totals)) yield { ...point, sinceNs: totals.sinceNs };
		}
	};
}

function ofTraffic(part: 'total' | 'folded', field: keyof Traffic): Read {
	return eachListener((totals) => [{ labels: { listener: totals.listener }, value: integer(totals[part][field]) }]);
}

function ofHistogram(part: 'rtt' | 'duration' | 'acceptWait'): Read {
	return eachListener((totals) => [
		{ labels: { listener: totals.listener }, value: { type: 'distribution', histogram: totals[part] } },
	]);
}

function single(
	field:
		| 'clientsTracked'
		| 'clientsCapacity'
		| 'clientsExported'
		| 'clientsFolded'
		| 'clientsOverflowed'
		| 'listenersFolded',
): Read {
	return (snapshot) => [{ labels: {}, value: integer(snapshot[field]) }];
}
