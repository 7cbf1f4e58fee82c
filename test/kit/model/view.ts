// SPDX-License-Identifier: Apache-2.0
/** A view and an exporter over data made by hand, for the HTTP interface and the command line. */

import { createPrometheusExporter, type PrometheusExporter } from '../../../daemon/export/prometheus/exporter.ts';
import { createMetrics } from '../../../daemon/export/registry.ts';
import type { NotReady, View } from '../../../daemon/http/view.ts';
import type { Endpoint } from '../../../daemon/model/address.ts';
import { formatEndpoint } from '../../../daemon/model/address.ts';
import type { Connection } from '../../../daemon/model/connection.ts';
import type { LookupQuery } from '../../../daemon/model/lookup.ts';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { snapshot } from './snapshot.ts';
import { statusJson } from './status.ts';

/** The wall time at which CLOCK_MONOTONIC was 0. */
export const bootNs = 1_760_000_000_000_000_000n;

const peer: Endpoint = { family: 4, text: '10.0.0.1', port: 4711 };

export const open: Connection = {
	cookie: 1n,
	netns: 4_026_531_840,
	local: { family: 4, text: '192.0.2.10', port: 443 },
	peer,
	client: { family: 6, text: '2001:db8::1', port: 5555 },
	virtualServer: undefined,
	verdict: 'toa',
	profile: 'nat64',
	segment: 'ack',
	state: 'open',
	openedNs: 123_456_789n,
	acceptedNs: 200_000_000n,
	closedNs: undefined,
	seen: 'getpeername',
	owner: { by: 'accept', pid: 123, comm: 'nginx', cgroupId: 18_446_744_073_709_551_615n },
	receivedBytes: 3200n,
	sentBytes: 9_223_372_036_854_775_807n,
	retransmittedSegments: 2,
	rttNs: 1_500_000,
	error: undefined,
};

export const closed: Connection = {
	...open,
	cookie: 2n,
	netns: 4_026_532_000,
	client: undefined,
	verdict: 'none',
	profile: undefined,
	segment: undefined,
	state: 'closed',
	acceptedNs: undefined,
	closedNs: 5_000_000_000n,
	seen: undefined,
	owner: undefined,
	receivedBytes: 17n,
	sentBytes: 0n,
	retransmittedSegments: 0,
	rttNs: undefined,
	error: 'ECONNRESET',
};

export interface FixtureView extends View {
	/** The lookups that were requested. */
	readonly asked: LookupQuery[];
}

export function fixtureView(
	options: { connections?: readonly Connection[]; attached?: boolean; notReady?: readonly NotReady[] } = {},
): FixtureView {
	const { connections = [open, closed], attached = true } = options;
	const firstCollection = { reason: 'first_collection', text: 'the first collection is awaited' };
	const { notReady = attached ? [] : [firstCollection] } = options;
	const asked: LookupQuery[] = [];
	return {
		asked,
		snapshot: () => (attached ? snapshot : undefined),
		lookup(query) {
			asked.push(query);
			const { peer } = query;
			const isPeer = (one: Connection) => peer !== undefined && formatEndpoint(one.peer) === formatEndpoint(peer);
			return { connections: connections.filter(isPeer), truncated: false };
		},
		refreshLookups: async () => {},
		containerOf: () => 'c'.repeat(64),
		status: () => statusJson({ now: { opened: 3 } }),
		peers: async () => ({ connections: 0, busiest: [], listening: [] }),
		tracksConnections: () => true,
		traceOf: ({ client }) => (client === undefined ? undefined : { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16) }),
		nextCollection: async () => {},
		notReady: () => notReady,
		clock: { toUnixNs: (ns) => ns + bootNs, toMonotonicNs: (ns) => [ns - bootNs] },
	};
}

export function fixtureExporter(latest: () => Snapshot | undefined = () => snapshot): PrometheusExporter {
	const metrics = createMetrics({
		latest,
		state: {
			build: { version: '0.1.0', node: '24.0.0', libbpf: '1.1.2' },
			provider: () => ({ provider: 'bpf', kernel: '6.1.0', mode: 'getpeername' }),
			configReload: () => ({ successful: true, successAtMs: 1_760_000_000_123 }),
			listenFailures: () => ({ listen: 2n, socket: 0n }),
			tasks: () => [
				{ task: 'collect', failures: 2, runs: 60, seconds: 0.75 },
				{ task: 'owners', failures: 1, runs: 0, seconds: 0 },
			],
			logLinesDropped: () => 7,
			attachments: () => ({
				programs: [
					{ program: 'toascope_sockops', attached: true },
					{ program: 'toascope_getsockopt', attached: false },
				],
				lost: { toascope_sockops: 0n, toascope_getsockopt: 2n, pins: 0n },
			}),
			spanRatio: () => 0.25,
			retainedNs: () => 12_500_000_000n,
			otlp: () => [
				{ signal: 'metrics', exported: 9_007_199_254_740_993n, rejected: 3n, failedRequests: 1n },
				{ signal: 'traces', exported: 7n, rejected: 0n, failedRequests: 0n },
				{ signal: 'logs', exported: 0n, rejected: 0n, failedRequests: 2n },
			],
		},
		startedNs: 1_760_000_000_000_000_000n,
		countersSinceNs: 1_760_000_000_000_000_000n,
		processMetrics: false,
	});
	return createPrometheusExporter({
		metrics,
		onError(error) {
			throw error;
		},
	});
}
