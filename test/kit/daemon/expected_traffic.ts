// SPDX-License-Identifier: Apache-2.0
/** Compares the counters of one daemon with what the lab counted. */
import { expect } from 'vitest';
import type { ConnectionResult } from '../../../daemon/lab/protocol.ts';
import { type Sample, total } from '../telemetry/metrics.ts';
import type { Daemon } from './daemon.ts';

/** Connections and payload bytes, as the server counts them. */
export interface TrafficTotals {
	readonly opened: bigint;
	readonly closed: bigint;
	readonly received: bigint;
	readonly sent: bigint;
}

const counters = {
	opened: 'connections_opened_total',
	closed: 'connections_closed_total',
	received: 'received_bytes_total',
	sent: 'sent_bytes_total',
} as const;

const everyCounter = [...Object.values(counters), 'retransmitted_segments_total'];

/**
 * The sums that the lab counted for these connections. What a client sends, the server receives.
 */
export function labTotals(results: readonly ConnectionResult[], closed = true): TrafficTotals {
	const sum = (pick: (result: ConnectionResult) => number) =>
		results.reduce((all, result) => all + BigInt(pick(result)), 0n);
	return {
		opened: BigInt(results.length),
		closed: closed ? BigInt(results.length) : 0n,
		received: sum(({ sent }) => sent),
		sent: sum(({ received }) => received),
	};
}

/** labTotals() of each client's connections. */
export function labTotalsByClient(results: readonly ConnectionResult[], closed = true): Map<string, TrafficTotals> {
	const grouped = Map.groupBy(results, ({ client }) => client);
	return new Map([...grouped].map(([client, some]) => [client, labTotals(some, closed)]));
}

function readTotals(prefix: string, read: (name: string) => bigint): TrafficTotals {
	return {
		opened: read(prefix + counters.opened),
		closed: read(prefix + counters.closed),
		received: read(prefix + counters.received),
		sent: read(prefix + counters.sent),
	};
}

/** The totals of a listener. */
export function listenerTotals(samples: readonly Sample[], listener: string): TrafficTotals {
	return readTotals('toascope_', (name) => total(samples, name, { listener }));
}

/** The counts of the series of a listener that have ended. */
export function foldedTotals(samples: readonly Sample[], listener: string): TrafficTotals {
	return readTotals('toascope_client_folded_', (name) => total(samples, name, { listener }));
}

/** The counts of each series of a listener, including `direct` and `other`. */
export function clientTotals(samples: readonly Sample[], listener: string): Map<string, TrafficTotals> {
	const some = samples.filter(
		({ name, labels }) => name.startsWith('toascope_client_') && labels.listener === listener,
	);
	const grouped = Map.groupBy(some, ({ labels }) => labels.client);
	grouped.delete(undefined);
	return new Map(
		[...grouped].map(([client, own]) => [client ?? '', readTotals('toascope_client_', (name) => total(own, name))]),
	);
}

/** Expects clients + direct + other + folded to equal the listener's total, in every counter. */
export function expectIdentity(samples: readonly Sample[], listener: string): void {
	const of = (prefix: string) =>
		Object.fromEntries(everyCounter.map((name) => [name, total(samples, prefix + name, { listener })]));
	const folded = of('toascope_client_folded_');
	const clients = of('toascope_client_');
	const sum = Object.fromEntries(everyCounter.map((name) => [name, (clients[name] ?? 0n) + (folded[name] ?? 0n)]));
	expect(sum, 'clients + direct + other + folded').toEqual(of('toascope_'));
}

/**
 * Returns the metrics at rest: once this many connections have closed and the daemon has completed
 * one more collection.
 */
export async function metricsAtRest(daemon: Daemon, listener: string, closed: number): Promise<Sample[]> {
	await daemon.until((samples) => listenerTotals(samples, listener).closed >= BigInt(closed) || undefined);
	const collectedAt = async () => (await daemon.json<{ at: string }>('/v1/clients?limit=1')).at;
	const before = await collectedAt();
	while ((await collectedAt()) === before) await new Promise((resolve) => setTimeout(resolve, 100));
	return daemon.metrics();
}
