// SPDX-License-Identifier: Apache-2.0
/** What the HTTP routes need from the daemon: a view of the store, read anew for each request. */
import type { StatusJson } from '../api/status.ts';
import type { Connection } from '../model/connection.ts';
import type { LookupQuery, LookupResult } from '../model/lookup.ts';
import type { Peers } from '../model/peers.ts';
import type { Snapshot } from '../model/snapshot.ts';
import type { TraceIds } from '../model/trace_ids.ts';

/** Converts between CLOCK_MONOTONIC and the wall clock, both in nanoseconds. */
export interface Clock {
	/** Nanoseconds since 1970. */
	toUnixNs(monotonicNs: bigint): bigint;
	/**
	 * The times at which the wall clock showed this value, the latest first. There are several if
	 * the clock was set back; if it was set forward past the value, the time of that jump.
	 */
	toMonotonicNs(unixNs: bigint): readonly bigint[];
}

/** One reason why the daemon is not ready. */
export interface NotReady {
	/** A stable name in snake_case, such as `first_collection`. */
	readonly reason: string;
	/** What is wrong, or what the daemon waits for: a text for operators. */
	readonly text: string;
}

export interface View {
	/** The latest snapshot; undefined before the first. */
	snapshot(): Snapshot | undefined;
	/** False if the provider never reports connections and clients. */
	tracksConnections(): boolean;
	/** Lookups find every connection that opened before this call. */
	refreshLookups(): Promise<void>;
	/** The connections that match, as of the last refreshLookups(). */
	lookup(query: LookupQuery): LookupResult;
	/** The container of the process that accepted the connection: 64 hex digits. */
	containerOf(connection: Connection): string | undefined;
	/** The ids of the connection's span; undefined: it has none. */
	traceOf(connection: Connection): TraceIds | undefined;
	/** The contents of `/v1/status`, except `peers`. */
	status(): StatusJson;
	/** The peers of the connections of the last minutes; undefined if they cannot be read now. */
	peers(): Promise<Peers | undefined>;
	/** Resolves after the next collection of the counters, or after some seconds. */
	nextCollection(): Promise<void>;
	/** Empty if everything is attached and counted. */
	notReady(): readonly NotReady[];
	readonly clock: Clock;
}
