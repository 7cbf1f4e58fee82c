// SPDX-License-Identifier: Apache-2.0
/** The query of a lookup, and what it finds. */
import type { ClientEndpoint, Endpoint } from './address.ts';
import type { Connection } from './connection.ts';

/** A query names a peer, a client, or both; everything else narrows it. */
export interface LookupQuery {
	/** The other end of the server's socket: the balancer or the NAT64 gateway. */
	readonly peer?: Endpoint | undefined;
	/**
	 * The client that an option named. Port undefined: any. Where the option carries no port, the
	 * peer's counts, which is the one that applications see.
	 */
	readonly client?: ClientEndpoint | undefined;
	readonly local?: Endpoint | undefined;
	/** Inode number of a network namespace. */
	readonly netns?: number | undefined;
	/** The process that accepted it. */
	readonly pid?: number | undefined;
	/** The container of that process: 64 hex digits. */
	readonly container?: string | undefined;
	/** Only connections that were open at one of these times: CLOCK_MONOTONIC nanoseconds. */
	readonly atNs?: readonly bigint[] | undefined;
	/** So much before its opening and after its close a connection counts as open. */
	readonly slackNs?: bigint | undefined;
}

export interface LookupResult {
	/** Newest first. */
	readonly connections: readonly Connection[];
	/** There are, or can be, more: a client had too many connections for all of them to be read. */
	readonly truncated: boolean;
}

/** For how long closed connections can be looked up. */
export interface Retention {
	/** The lowest age at which one had to leave in the last minutes, or `connections.retain`, in nanoseconds. */
	readonly retainedNs: bigint;
	/**
	 * How long those had their slots that had to leave, on average, in nanoseconds: the time in which
	 * the table is used once. Undefined: none had to.
	 */
	readonly slotNs: bigint | undefined;
}

/** The least slack that separates connections by their times: some tracers cut times to the millisecond. */
const leastSlackNs = 1_000_000n;

/** The connections that were open at the times of the query. If several are, the slack shrinks. */
export function openAt(connections: readonly Connection[], query: LookupQuery): readonly Connection[] {
	const { atNs, slackNs = 0n } = query;
	if (atNs === undefined) return connections;
	const within = (slack: bigint) =>
		connections.filter(({ openedNs, closedNs }) =>
			atNs.some((at) => openedNs - slack <= at && (closedNs === undefined || at <= closedNs + slack)),
		);
	const wide = within(slackNs);
	if (wide.length < 2 || slackNs <= leastSlackNs) return wide;
	const narrow = within(leastSlackNs);
	return narrow.length > 0 ? narrow : wide;
}
