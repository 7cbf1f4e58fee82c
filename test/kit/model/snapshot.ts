// SPDX-License-Identifier: Apache-2.0
/** A small snapshot made by hand: numbers above 2^53, IPv6 clients, labels that need escaping. */

import type { ClientSeries } from '../../../daemon/model/series.ts';
import { type SeriesTable, SeriesTableBuilder } from '../../../daemon/model/series_table.ts';
import type { Histogram, ListenerTotals, Snapshot } from '../../../daemon/model/snapshot.ts';
import { addTo, noTraffic } from '../../../daemon/model/traffic.ts';

/** Builds a table of these series. */
export function tableOf(clients: Iterable<ClientSeries>): SeriesTable {
	const table = new SeriesTableBuilder(1);
	for (const { traffic, active, ...series } of clients) {
		const at = table.add(series, active);
		addTo(table.words, at, traffic);
	}
	return table.build();
}

const histogram = (sumNs: bigint, buckets: readonly bigint[]): Histogram => ({
	sumNs,
	buckets,
	boundsNs: [62_500n, 125_000n, 1_000_000_000n],
});

/** The second bucket, whose exemplar is not shown, has counted nothing. */
const rttExemplars = [62_500n, 125_000n, undefined, 9_007_199_254_740_989n].map((valueNs, index) =>
	valueNs === undefined
		? undefined
		: {
				traceId: '0af7651916cd43dd8448eb211c80319c',
				spanId: `b7ad6b716920333${index}`,
				valueNs,
				timeNs: 1_760_000_000_000_000_001n,
			},
);

export const listenerTotals: ListenerTotals = {
	listener: '192.0.2.10:443',
	sinceNs: 1_760_000_000_000_000_000n,
	endpoint: { family: 4, text: '192.0.2.10', port: 443 },
	total: {
		opened: 9_223_372_036_854_775_807n,
		closed: 9_007_199_254_740_993n,
		receivedBytes: 18_014_398_509_481_985n,
		sentBytes: 42n,
		retransmittedSegments: 7n,
		rttSumNs: 1_000_000_001n,
		rttCount: 3n,
		durationSumNs: 5_000_000_000n,
	},
	folded: { ...noTraffic, opened: 1n, closed: 1n, receivedBytes: 100n, sentBytes: 200n },
	handshakes: { toa: 5n, none: 4n, malformed: 3n, untrusted: 2n, conflict: 1n },
	withoutOption: [
		{ trusted: true, data: true, count: 1n },
		{ trusted: true, data: false, count: 3n },
		{ trusted: false, data: true, count: 0n },
		{ trusted: false, data: false, count: 0n },
	],
	hiddenByFamily: 9_007_199_254_740_995n,
	options: [
		{ profile: 'nat64', segment: 'ack', count: 5n },
		{ profile: 'a "b" \\c\n', segment: 'data', count: 1n },
	],
	accepts: { fexit: 0n, getpeername: 8n, unseen: 1n },
	rtt: { ...histogram(9_007_199_254_740_993n, [1n, 0n, 2n, 4n]), exemplars: rttExemplars },
	duration: histogram(0n, [0n, 0n, 0n, 0n]),
	acceptWait: histogram(1_500_000_000n, [0n, 0n, 0n, 1n]),
};

export const clients: readonly ClientSeries[] = [
	{
		client: '2001:db8:c::1',
		listener: '192.0.2.10:443',
		sinceNs: 1_760_000_000_000_000_001n,
		traffic: {
			opened: 9_007_199_254_740_993n,
			closed: 9_007_199_254_740_990n,
			receivedBytes: 9_007_199_254_740_991n,
			sentBytes: 9_223_372_036_854_775_807n,
			retransmittedSegments: 1n,
			rttSumNs: 9_223_372_036_854_775_807n,
			rttCount: 2n,
			durationSumNs: 12_000_000_050n,
		},
		active: 3,
	},
	{
		client: 'direct',
		listener: '192.0.2.10:443',
		sinceNs: 1_760_000_000_000_000_000n,
		traffic: { ...noTraffic, opened: 2n, closed: 1n, receivedBytes: 20_000n, durationSumNs: 1n },
		active: 1,
	},
	{
		client: 'other',
		listener: '[2001:db8::10]:443',
		sinceNs: 1_760_000_000_000_000_000n,
		traffic: noTraffic,
		active: 0,
	},
];

export const snapshot: Snapshot = {
	atMs: 1_760_000_100_000,
	listeners: [listenerTotals],
	clients: tableOf(clients),
	clientsTracked: 12,
	clientsCapacity: 65_536,
	clientsExported: 1,
	clientsFolded: 1n,
	listenersFolded: 0n,
	clientsOverflowed: 0n,
	moduleEvents: {},
	drops: { ring_full: 0n, clients_full: 9_007_199_254_740_993n },
	counted: { sweep: 40n, reuse: 0n, close: 1n },
	maps: [{ map: 'clients', entries: 12, capacity: 65_536 }],
	programs: [],
};
