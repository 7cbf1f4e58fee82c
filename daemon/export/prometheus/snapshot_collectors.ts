// SPDX-License-Identifier: Apache-2.0
/**
 * Collectors of the metrics that are not per client: each reads the latest snapshot when the
 * registry calls it, and stores nothing. Values are exact, which prom-client's own renderer cannot
 * print (it writes a bigint as +Inf); exposition.ts renders the registry instead.
 */
import type { Histogram, ListenerTotals, ProgramUsage, Snapshot } from '../../model/snapshot.ts';
import type { Traffic } from '../../model/traffic.ts';
import { type MetricName, type MetricOf, type MetricType, metricDefinition } from '../metric_table.ts';
import type { Sample } from './family.ts';
import { formatSeconds } from './text.ts';

/** What prom-client accepts as a metric: a named object with `get()`. */
export interface Collector {
	readonly name: string;
	readonly help: string;
	readonly type: MetricType;
	readonly aggregator: 'sum';
	/** The samples of the latest snapshot, which are made during iteration and only once. */
	get(): CollectedFamily;
}

interface CollectedFamily {
	readonly name: string;
	readonly help: string;
	readonly type: MetricType;
	readonly aggregator: 'sum';
	readonly values: Iterable<Sample>;
}

/** The only value of the module that also decreases: a gauge among its counters. */
const connectionsEvent = 'connections';

type Read = (snapshot: Snapshot) => Iterable<Sample>;

/** Returns a collector for every metric of the snapshot except the per-client ones. */
export function snapshotCollectors(latest: () => Snapshot | undefined): Collector[] {
	return Object.entries(reads).map(([metric, read]) => {
		const { name, help, type } = metricDefinition(metric as MetricOf<'snapshot'>);
		const aggregator = 'sum';
		return {
			name,
			help,
			type,
			aggregator,
			get() {
				const snapshot = latest();
				return { name, help, type, aggregator, values: snapshot === undefined ? [] : read(snapshot) };
			},
		};
	});
}

const reads: Readonly<Record<MetricOf<'snapshot'>, Read>> = {
	toascope_handshakes_total: eachListener(({ listener, handshakes }) =>
		Object.entries(handshakes).map(([result, value]) => ({ labels: { listener, result }, value })),
	),
	toascope_handshakes_without_option_total: eachListener(({ listener, withoutOption }) =>
		withoutOption.map(({ trusted, data, count }) => ({
			labels: { listener, peer: trusted ? 'trusted' : 'untrusted', data: data ? 'yes' : 'no' },
			value: count,
		})),
	),
	toascope_options_total: eachListener(({ listener, options }) =>
		options.map(({ profile, segment, count }) => ({ labels: { listener, profile, segment }, value: count })),
	),
	toascope_connections_hidden_by_family_total: eachListener(({ listener, hiddenByFamily }) => [
		{ labels: { listener }, value: hiddenByFamily },
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
	toascope_rtt_seconds: ofHistogram('toascope_rtt_seconds', 'rtt'),
	toascope_connection_duration_seconds: ofHistogram('toascope_connection_duration_seconds', 'duration'),
	toascope_accept_wait_seconds: ofHistogram('toascope_accept_wait_seconds', 'acceptWait'),
	toascope_accepts_total: eachListener(({ listener, accepts }) =>
		Object.entries(accepts).map(([seen, value]) => ({ labels: { listener, seen }, value })),
	),
	toascope_snapshot_timestamp_seconds: ({ atMs }) => [{ labels: {}, value: atMs / 1000 }],
	toascope_clients_tracked: single('clientsTracked'),
	toascope_clients_capacity: single('clientsCapacity'),
	toascope_clients_exported: single('clientsExported'),
	toascope_clients_folded_total: single('clientsFolded'),
	toascope_listeners_folded_total: single('listenersFolded'),
	toascope_clients_overflowed_total: single('clientsOverflowed'),
	toascope_drops_total: ({ drops }) => Object.entries(drops).map(([reason, value]) => ({ labels: { reason }, value })),
	toascope_connections_counted_total: ({ counted }) =>
		Object.entries(counted).map(([by, value]) => ({ labels: { by }, value })),
	toascope_module_events_total: ({ moduleEvents }) =>
		Object.entries(moduleEvents)
			.filter(([event]) => event !== connectionsEvent)
			.map(([event, value]) => ({ labels: { event }, value })),
	toascope_module_connections: ({ moduleEvents: { [connectionsEvent]: value } }) =>
		value === undefined ? [] : [{ labels: {}, value }],
	toascope_map_entries: ({ maps }) => maps.map(({ map, entries }) => ({ labels: { map }, value: entries })),
	toascope_map_capacity: ({ maps }) => maps.map(({ map, capacity }) => ({ labels: { map }, value: capacity })),
	toascope_bpf_program_runs_total: whileCounted(({ program, runs }) => ({ labels: { program }, value: runs })),
	toascope_bpf_program_run_seconds_total: whileCounted(({ program, runNs }) => ({
		labels: { program },
		value: formatSeconds(runNs),
	})),
	toascope_bpf_program_misses_total: ({ programs }) =>
		programs.flatMap(({ program, misses }) => (misses === undefined ? [] : [{ labels: { program }, value: misses }])),
};

/** No samples while the kernel does not count runs, which it does for all programs or none. */
function whileCounted(sample: (usage: ProgramUsage) => Sample): Read {
	return ({ programs }) => (programs.some(({ runs }) => runs > 0n) ? programs.map(sample) : []);
}

/** Each sample is a series of its own; all series of a listener began at the same time. */
function eachListener(samples: (totals: ListenerTotals) => Iterable<Sample>): Read {
	return function* ({ listeners }) {
		for (const totals of listeners) {
			for (const sample of samples(totals)) yield { ...sample, createdNs: totals.sinceNs };
		}
	};
}

function ofTraffic(part: 'total' | 'folded', field: keyof Traffic): Read {
	return eachListener((totals) => [{ labels: { listener: totals.listener }, value: totals[part][field] }]);
}

function ofHistogram(name: MetricName, part: 'rtt' | 'duration' | 'acceptWait'): Read {
	return function* ({ listeners }) {
		for (const totals of listeners) yield* histogramSamples(name, totals, totals[part]);
	};
}

function* histogramSamples(
	name: string,
	{ listener, sinceNs }: ListenerTotals,
	histogram: Histogram,
): Generator<Sample> {
	let count = 0n;
	for (const [index, bucket] of histogram.buckets.entries()) {
		const boundNs = histogram.boundsNs[index];
		const le = boundNs === undefined ? Number.POSITIVE_INFINITY : Number(boundNs) / 1e9;
		count += bucket;
		yield { metricName: `${name}_bucket`, labels: { listener, le }, value: count };
	}
	yield { metricName: `${name}_sum`, labels: { listener }, value: formatSeconds(histogram.sumNs) };
	yield { metricName: `${name}_count`, labels: { listener }, value: count, createdNs: sinceNs };
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
	return (snapshot) => [{ labels: {}, value: snapshot[field] }];
}
