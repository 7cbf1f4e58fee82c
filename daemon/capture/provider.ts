// SPDX-License-Identifier: Apache-2.0
/** A provider learns the peers of connections and keeps what is counted. Nobody above knows which one it is. */
import type { Config } from '../config/config.ts';
import type { Connection, ConnectionEvent } from '../model/connection.ts';
import type { LookupQuery } from '../model/lookup.ts';
import type { Peers } from '../model/peers.ts';
import type { UnknownOption } from '../model/recent.ts';
import type { Source } from '../model/source.ts';
import type { NextTurn } from '../model/store.ts';
import type { AttachmentReport, Missing } from './attachment_check.ts';
import type { Features } from './native.ts';

export type ProviderName = 'bpf' | 'module';

/** How the accept of a connection is seen; `none`: without BPF nothing is. */
/** `off`: by the configuration; `none`: toa.ko works alone. */
export type AcceptProgram = 'fexit' | 'getpeername' | 'off' | 'none';

/** Told of a step that failed and was left out, by a stable name such as `owners`; what it belongs to goes on. */
export type OnFailure = (step: string, error: unknown) => void;

export interface Provider {
	readonly name: ProviderName;
	readonly acceptProgram: AcceptProgram;
	readonly features: Features;
	/** Directory of cgroup v2 whose sockets are seen; undefined: no socket is, BPF is refused. */
	readonly cgroup: string | undefined;
	/** False: the sockets of a part of this host alone are seen. */
	readonly wholeHost: boolean;
	/** True: it went on with the counters of a daemon before it. */
	readonly adopted: boolean;
	/** What the store reads. */
	readonly counters: Source;
	/**
	 * Asks the kernel whether all that was attached and pinned still is, reports it, and puts back what is gone. `onChange` is
	 * called from then on when the served cgroup is made or removed: the next check is due at once.
	 */
	checkAttachments(onChange: () => void): void;
	/** What the latest of these checks found. */
	readonly attachments: AttachmentReport;
	/** Takes a new configuration; on an error the old one stays in force. */
	reload(config: Config): void;
	/** Which events the kernel sends. None: it spends nothing on them. */
	listen(...types: ConnectionEvent['type'][]): void;
	/**
	 * Hands over what has happened since the last call, for some milliseconds. True: there is more. Each event that was taken
	 * from the kernel is handed over, whatever fails on its way (`onFailure`), also in `onEvent`.
	 */
	drain(onEvent: (event: ConnectionEvent) => void, onFailure: OnFailure): boolean;
	/** Throws away what drain() would hand over. Returns how many there were. */
	discard(): number;
	/** Counts what open connections did since the last flush, and closes those that two flushes find gone unheard. */
	flush(nextTurn: NextTurn): Promise<void>;
	/** Connections of a peer, newest first. */
	lookup(question: LookupQuery, onFailure: OnFailure): Connection[];
	/** What arrives where TOA does not: counted since the maps were made. */
	unknownOptions(): UnknownOption[];
	/** The peers of the connections in the table. */
	peers(nextTurn: NextTurn): Promise<Peers>;
	/**
	 * Detaches and leaves nothing; with `keep` everything pinned goes on counting. `started` false: the start failed, and
	 * what others had in force is put back. Does nothing the second time.
	 * Returns what is not kept although it was to be, for operators; empty: nothing, or nothing was to be kept.
	 */
	close(keep: boolean, started?: boolean): readonly string[];
}

/** What reads the options of segments, and decides whom to believe. */
export interface OptionReader {
	readonly name: ProviderName;
	/** Puts profiles and trusted networks in force. @throws {ToascopeError} where that is refused */
	apply(config: Config): void;
	/** What it counts itself, by event. */
	events(): Readonly<Record<string, bigint>>;
	/** Asks whether what was loaded and put in force still is, and puts back what is not. Called once a second. */
	check(): ReaderReport;
	/** Leaves nothing of its own; with `keep` all that it needs to go on. `started` false: as it was found. */
	close(keep: boolean, started?: boolean): void;
}

/** What a check found, as AttachmentReport has it. */
export interface ReaderReport {
	readonly lost: AttachmentReport['lost'];
	readonly missing: readonly Missing[];
}

/** The BPF programs read options themselves: what is in force for them stands in their settings. */
export const bpfReader: OptionReader = {
	name: 'bpf',
	apply() {},
	events: () => ({}),
	check: () => ({ lost: {}, missing: [] }),
	close() {},
};
