// SPDX-License-Identifier: Apache-2.0
/** What the HTTP surface needs from the daemon: a view of the store, read again at each request. */
import type { Connection } from '../model/connection.ts';
import type { LookupQuery } from '../model/lookup.ts';
import type { Peers } from '../model/peers.ts';
import type { Snapshot } from '../model/snapshot.ts';

/** CLOCK_MONOTONIC against the wall clock, both in nanoseconds. */
export interface Clock {
	/** Nanoseconds since 1970. */
	toUnixNs(monotonicNs: bigint): bigint;
	/** The moments at which the wall clock showed that, the latest first: several where it was set back, that of the jump where it was set over it. */
	toMonotonicNs(unixNs: bigint): readonly bigint[];
}

/** One reason why the daemon is not ready. */
export interface NotReady {
	/** A stable name in snake_case, such as `first_collection`. */
	readonly reason: string;
	/** What is wrong or awaited, for operators. */
	readonly text: string;
}

export interface View {
	/** The latest; undefined before the first. */
	snapshot(): Snapshot | undefined;
	/** False: nothing is known of connections and clients, whatever passes. */
	knowsConnections(): boolean;
	/** All that match, newest first. */
	lookup(query: LookupQuery): readonly Connection[];
	/** What `/v1/status` shows: plain data with snake_case keys; a bigint goes out as a decimal string. */
	status(): object;
	/** Who is at the other end of the connections of the last minutes; undefined where they cannot be read now. */
	peers(): Promise<Peers | undefined>;
	/** Resolves when the counters have been collected anew, or after some seconds. */
	fresh(): Promise<void>;
	/** Empty: everything is attached and counted. */
	notReady(): readonly NotReady[];
	readonly clock: Clock;
}
