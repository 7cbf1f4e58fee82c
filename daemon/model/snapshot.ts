// SPDX-License-Identifier: Apache-2.0
/**
 * A snapshot of the kernel's counters, immutable. Exporters are functions of it and keep no numbers
 * of their own. All counters are exact integers (bigint).
 */

import type { Endpoint } from './address.ts';
import type { SeriesTable } from './series_table.ts';
import type { Traffic } from './traffic.ts';

export type Verdict = 'pending' | 'toa' | 'none' | 'malformed' | 'untrusted' | 'conflict';
export type FinalVerdict = Exclude<Verdict, 'pending'>;
export type Segment = 'syn' | 'ack' | 'data';
export type AcceptObservation = 'fexit' | 'getpeername' | 'unseen';

export interface Histogram {
	readonly sumNs: bigint;
	/** Not cumulative; as many as `boundsNs`, and one more without an upper bound. */
	readonly buckets: readonly bigint[];
	/** Upper bounds (inclusive). */
	readonly boundsNs: readonly bigint[];
	/** By bucket, with gaps; undefined: there is none. */
	readonly exemplars?: readonly (Exemplar | undefined)[] | undefined;
}

/** A connection that a bucket has counted, by its span. */
export interface Exemplar {
	readonly traceId: string;
	readonly spanId: string;
	readonly valueNs: bigint;
	/** When the connection closed (Unix nanoseconds). */
	readonly timeNs: bigint;
}

interface WithoutOption {
	readonly trusted: boolean;
	readonly data: boolean;
	readonly count: bigint;
}

export interface ListenerTotals {
	/** `ADDR:PORT`, or `other` for those beyond `listeners.max`. */
	readonly listener: string;
	/** Undefined for `other`. */
	readonly endpoint: Endpoint | undefined;
	readonly total: Traffic;
	/**
	 * When all of its counters were 0 (Unix nanoseconds); undefined where a daemon of an earlier
	 * version did not record it.
	 */
	readonly sinceNs: bigint | undefined;
	/** What ended series had shown (`client_folded_*_total`). */
	readonly folded: Traffic;
	readonly handshakes: Readonly<Record<FinalVerdict, bigint>>;
	/**
	 * Connections without an option (`handshakes.none`), by whether the peer is trusted and whether
	 * it sent data.
	 */
	readonly withoutOption: readonly WithoutOption[];
	/** Connections whose IPv6 client `transparent` cannot show, since the socket is AF_INET. */
	readonly hiddenByFamily: bigint;
	readonly options: readonly { readonly profile: string; readonly segment: Segment; readonly count: bigint }[];
	readonly accepts: Readonly<Record<AcceptObservation, bigint>>;
	/** Health checks (trusted, without data) are left out, here and of `duration`. */
	readonly rtt: Histogram;
	readonly duration: Histogram;
	readonly acceptWait: Histogram;
}

export interface MapUsage {
	readonly map: string;
	readonly entries: number;
	readonly capacity: number;
}

export interface ProgramUsage {
	readonly program: string;
	/** 0n unless kernel.bpf_stats_enabled is on, like `runNs`. */
	readonly runs: bigint;
	readonly runNs: bigint;
	/**
	 * Calls that the kernel skipped because the program was already running on that CPU; undefined:
	 * it skips no calls of this program.
	 */
	readonly misses?: bigint;
}

export interface Snapshot {
	/** When it was taken (Unix milliseconds). */
	readonly atMs: number;
	readonly listeners: readonly ListenerTotals[];
	/** The exported set: admitted clients, and for each listener `direct` and `other`. */
	readonly clients: SeriesTable;
	/** Pairs of client and listener in the kernel's table. */
	readonly clientsTracked: number;
	readonly clientsCapacity: number;
	/** Admitted pairs, without `direct` and `other`. */
	readonly clientsExported: number;
	readonly clientsFolded: bigint;
	/** Listeners whose counts went to the listener `other`. */
	readonly listenersFolded: bigint;
	/** Connections of new clients that found the kernel's table full. */
	readonly clientsOverflowed: bigint;
	/** By reason; every reason is present. */
	readonly drops: Readonly<Record<string, bigint>>;
	/** Connections that have closed, by what counted them. */
	readonly counted: Readonly<Record<string, bigint>>;
	/** What the kernel module counts, by event; empty where the module is not used. */
	readonly moduleEvents: Readonly<Record<string, bigint>>;
	readonly maps: readonly MapUsage[];
	readonly programs: readonly ProgramUsage[];
}
