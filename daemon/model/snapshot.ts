// SPDX-License-Identifier: Apache-2.0
/**
 * One look at the kernel's counters, immutable. Exporters are functions of it and hold no
 * numbers of their own. All counters are exact integers (bigint).
 */
import type { Endpoint } from './address.ts';
import type { SeriesTable } from './series_table.ts';

/** struct traffic: every field only grows. Times in nanoseconds. */
export interface Traffic {
	readonly opened: bigint;
	readonly closed: bigint;
	readonly receivedBytes: bigint;
	readonly sentBytes: bigint;
	readonly retransmittedSegments: bigint;
	readonly rttSumNs: bigint;
	readonly rttCount: bigint;
	/** Of the closed connections; their number is `closed`. */
	readonly durationSumNs: bigint;
}

export type Verdict = 'pending' | 'toa' | 'none' | 'malformed' | 'untrusted' | 'conflict';
export type Result = Exclude<Verdict, 'pending'>;
export type Segment = 'syn' | 'ack' | 'data';
export type Seen = 'fexit' | 'getpeername' | 'unseen';

export interface Histogram {
	readonly sumNs: bigint;
	/** Not cumulative; as many as `boundsNs`, and one more without an upper bound. */
	readonly buckets: readonly bigint[];
	/** Upper bounds (inclusive). */
	readonly boundsNs: readonly bigint[];
}

/** Of whom an exported series is: a pair of client and listener. */
export interface Series {
	/** RFC 5952 text, `ADDR/LEN` for a shorter prefix, `direct` or `other`. */
	readonly client: string;
	/** `ADDR:PORT`, or `other`. */
	readonly listener: string;
	/** When the series began (Unix nanoseconds); the OTLP start time. */
	readonly sinceNs: bigint;
	/** It counts from before `sinceNs`: a daemon of an earlier version began it, and did not say when. */
	readonly older?: boolean;
}

export interface ClientSeries extends Series {
	readonly traffic: Traffic;
	/** Connections that are open now. */
	readonly active: number;
}

export interface WithoutOption {
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
	/** When all of its counters were 0 (Unix nanoseconds); undefined where a daemon of an earlier version did not say. */
	readonly sinceNs: bigint | undefined;
	/** What ended series had shown (`client_folded_*_total`). */
	readonly folded: Traffic;
	readonly handshakes: Readonly<Record<Result, bigint>>;
	/** Connections without an option (`handshakes.none`), by whether the peer is trusted and whether it sent data. */
	readonly withoutOption: readonly WithoutOption[];
	/** Connections whose IPv6 client `transparent` cannot show, since the socket is AF_INET. */
	readonly hiddenByFamily: bigint;
	readonly options: readonly { readonly profile: string; readonly segment: Segment; readonly count: bigint }[];
	readonly accepts: Readonly<Record<Seen, bigint>>;
	/** Health checks (trusted, without data) are left out, as they are of `duration`. */
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
	/** 0n unless kernel.bpf_stats_enabled is on; so is the next. */
	readonly runs: bigint;
	readonly runNs: bigint;
	/** Calls that the kernel left out, since the program was running on that CPU; undefined: it leaves out none of this one. */
	readonly misses?: bigint;
}

export interface Snapshot {
	/** When it was taken (Unix milliseconds). */
	readonly atMs: number;
	readonly listeners: readonly ListenerTotals[];
	/** The exported set: admitted clients, and for each listener `direct` and `other`. */
	readonly clients: SeriesTable;
	/** Pairs in the kernel's table. */
	readonly clientsTracked: number;
	readonly clientsCapacity: number;
	/** Admitted pairs: `direct` and `other` not counted. */
	readonly clientsExported: number;
	readonly clientsFolded: bigint;
	/** Listeners whose counts went to the listener `other`. */
	readonly listenersFolded: bigint;
	/** Connections whose client found the kernel's table full. */
	readonly clientsOverflowed: bigint;
	/** By reason; every reason is present. */
	readonly drops: Readonly<Record<string, bigint>>;
	/** Connections that have closed, by what counted them. */
	readonly counted: Readonly<Record<string, bigint>>;
	/** What the kernel module counts, by event; none where it is not used. */
	readonly moduleEvents: Readonly<Record<string, bigint>>;
	readonly maps: readonly MapUsage[];
	readonly programs: readonly ProgramUsage[];
}
