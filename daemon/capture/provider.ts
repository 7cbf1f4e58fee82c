// SPDX-License-Identifier: Apache-2.0
/**
 * A provider finds the clients of connections and keeps the counters. The layers above do not
 * depend on which provider it is.
 */

import type { Features } from '../../native/binding.ts';
import type { Config } from '../config/config.ts';
import type { Yield } from '../event_loop.ts';
import type { Connection, ConnectionEvent, EventType } from '../model/connection.ts';
import type { LookupQuery, LookupResult, Retention } from '../model/lookup.ts';
import type { Peers } from '../model/peers.ts';
import type { UnknownOption } from '../model/recent.ts';
import type { Source } from '../model/source.ts';
import type { AttachmentReport, MissingAttachment } from './attachment_report.ts';

export type ProviderName = 'bpf' | 'module';

/**
 * How the accept of a connection is observed. `off`: not, by the configuration; `none`: not,
 * because toa.ko works without BPF.
 */
export type AcceptProgram = 'fexit' | 'getpeername' | 'off' | 'none';

/**
 * Called for a step that failed and was skipped, with a stable name such as `owners`; the operation
 * that it belongs to continues.
 */
export type OnFailure = (step: string, error: unknown) => void;

/** A provider that is attached or loaded. */
export interface Provider {
	readonly name: ProviderName;
	readonly acceptProgram: AcceptProgram;
	readonly features: Features;
	/**
	 * Undefined where BPF is refused: toa.ko then answers applications, and no connection is
	 * tracked.
	 */
	readonly tracker: Tracker | undefined;
	/**
	 * Asks the kernel whether everything that was attached and pinned still is, reports the result,
	 * and restores what is missing. From then on `onChange` is called when the served cgroup is
	 * created or removed: the next check is then due at once.
	 */
	checkAttachments(onChange: () => void): void;
	/** The result of the latest of these checks. */
	readonly attachments: AttachmentReport;
	/** The counts of toa.ko, by event; empty if the provider is BPF. */
	moduleEvents(): Readonly<Record<string, bigint>>;
	/** Applies a new configuration; on an error the old one stays in force. */
	reload(config: Config): void;
	/**
	 * Detaches and leaves nothing behind; with `keep` everything pinned continues to count.
	 * `started` false: the start failed, and what another process had in force is restored. The
	 * second call does nothing.
	 * Returns what is not kept although it should be, for operators; empty: nothing, or nothing
	 * should be kept.
	 */
	close(keep: boolean, started?: boolean): readonly string[];
}

/** Types of events: those of every connection, and those of sampled connections. */
export interface EnabledEvents {
	readonly every?: readonly EventType[];
	readonly sampled?: readonly EventType[];
}

/** Visits open connections, in Tracker.eachOpen(). */
export interface OpenVisitor {
	/** `openedNs`: when the connection opened (CLOCK_MONOTONIC nanoseconds). */
	isWanted(openedNs: bigint): boolean;
	/** `atNs`: a time at which the connection was open (CLOCK_MONOTONIC nanoseconds). */
	visit(connection: Connection, atNs: bigint): void;
	/** False: no further connection is visited for the moment. */
	hasRoom(): boolean;
}

/** Tracks connections, and keeps their counters. */
export interface Tracker {
	/** The cgroup v2 directory whose sockets are observed. */
	readonly cgroup: string;
	/** False: only the sockets of a part of this host are observed. */
	readonly wholeHost: boolean;
	/** True: it adopted the counters of an earlier daemon. */
	readonly adopted: boolean;
	/** When the counters of the whole table were 0 (Unix nanoseconds); undefined: it is not recorded. */
	readonly countersSinceNs: bigint | undefined;
	/** The secret of the counters; the same for every daemon that adopts them. */
	readonly secret: bigint;
	/** The counters, as the store reads them. */
	readonly counters: Source;
	/** Sets which events the kernel emits. None: the kernel spends no time on them. */
	enableEvents(events: EnabledEvents): void;
	/** Sets which connections are sampled by ratio: none before the first call. */
	setSampleThreshold(threshold: bigint): void;
	/** The part of the ring that is in use, from 0 to 1. */
	ringShare(): number;
	/**
	 * Passes what has happened since the last call to `onEvent`, for some milliseconds. True: there
	 * is more. Each event that was read from the kernel is passed on, whatever fails on the way;
	 * failures, also those of `onEvent`, go to `onFailure`.
	 */
	drain(onEvent: (event: ConnectionEvent) => void, onFailure: OnFailure): boolean;
	/** Discards what drain() would pass on. Returns the number of events. */
	discard(): number;
	/**
	 * Counts what open connections did since the last flush, and closes connections that two
	 * flushes find gone without a callback for their close.
	 */
	flush(yieldLoop: Yield): Promise<void>;
	/** Lookups find every connection that opened before this call. */
	refreshLookups(yieldLoop: Yield): Promise<void>;
	/** Finds connections, as of the last refreshLookups(). */
	lookup(
		query: LookupQuery,
		containerOf: (connection: Connection) => string | undefined,
		onFailure: OnFailure,
	): LookupResult;
	/** For how long closed connections can be looked up; undefined: none can be looked up here. */
	retention(): Retention | undefined;
	/** Visits open connections with a client. */
	eachOpen(visitor: OpenVisitor, yieldLoop: Yield, onFailure: OnFailure): Promise<void>;
	/** The options that arrive instead of TOA: counted since the maps were created. */
	unknownOptions(): UnknownOption[];
	/** Counts the peers of the connections in the table. */
	peers(yieldLoop: Yield): Promise<Peers>;
}

/** Reads the options of segments, and decides which peers are trusted. */
export interface OptionReader {
	readonly name: ProviderName;
	/** Puts profiles and trusted networks in force. @throws {ToascopeError} if that is refused */
	apply(config: Config): void;
	/** Its own counts, by event. */
	events(): Readonly<Record<string, bigint>>;
	/**
	 * Checks whether what was loaded and put in force still is, and restores what is not. Called
	 * once a second.
	 */
	check(): ReaderReport;
	/**
	 * Leaves nothing of its own behind; with `keep`, everything that is needed to continue.
	 * `started` false: restores the state that it found.
	 */
	close(keep: boolean, started?: boolean): void;
}

/** The result of a check, as in AttachmentReport. */
export interface ReaderReport {
	readonly lost: AttachmentReport['lost'];
	readonly missing: readonly MissingAttachment[];
}

/** The BPF programs read options themselves: their settings contain everything that is in force. */
export const bpfReader: OptionReader = {
	name: 'bpf',
	apply() {},
	events: () => ({}),
	check: () => ({ lost: {}, missing: [] }),
	close() {},
};
