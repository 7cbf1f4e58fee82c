// SPDX-License-Identifier: Apache-2.0
/** What the store reads: a provider's kernel state. The store never knows which provider it is. */
import type { Endpoint } from './address.ts';
import type { ListenerTotals, MapUsage, ProgramUsage, Traffic } from './snapshot.ts';
import type { NextTurn } from './store.ts';

/** One line of the table of listeners. */
export interface ListenerRecord extends Omit<ListenerTotals, 'listener' | 'sinceNs'> {
	/** Identity: the bytes of its key. */
	readonly key: string;
	/** Connections without a believable TOA. */
	readonly direct: Traffic;
	/** Of clients that found the table full. */
	readonly overflow: Traffic;
	/** Of clients that have left the table without, or before, a series. */
	readonly unshown: Traffic;
	readonly slot: number;
	/** When one of its connections last opened or closed, a second more or less (CLOCK_MONOTONIC nanoseconds). */
	readonly activeNs: bigint;
	/** Being folded: new connections count under `other`. */
	readonly retired: boolean;
}

/** Some lines of the table of clients as they were a moment ago; valid until the next page is read. */
export interface ClientPage {
	readonly length: number;
	/** Identity: the units of the keys, `Source.clientKeyLength` for each client. */
	readonly keys: Uint16Array;
	/** The same as text, one character a byte. */
	key(index: number): string;
	/** Address or prefix. */
	label(index: number): string;
	/** The key of its listener. */
	listener(index: number): string;
	/** Its listener; undefined: `other`. */
	endpoint(index: number): Endpoint | undefined;
	traffic(index: number): Traffic;
	/** Its traffic in words (traffic.ts), from `at` on. */
	copyTraffic(index: number, to: BigUint64Array, at: number): void;
	addTraffic(index: number, to: BigUint64Array): void;
	/** Bytes and connections so far, rounded: the busier of two has more to show for the same time. */
	weight(index: number): number;
	/** CLOCK_MONOTONIC nanoseconds. */
	createdNs(index: number): bigint;
	activeNs(index: number): bigint;
	/** Connections that are open. */
	open(index: number): bigint;
	/** Being taken out of the table. */
	retired(index: number): boolean;
}

/** A series of the exported set. */
export interface Exported {
	/** What the client had done, and "other" has shown, before its series began. */
	readonly base: Traffic;
	/** Unix nanoseconds; 0: the series has ended, and only its entry is still there. */
	readonly sinceNs: bigint;
}

/** A series that is to be entered into the exported set. */
export interface Admission {
	/** The client's key. */
	readonly key: string;
	readonly exported: Exported;
}

/**
 * What became of a client that was to leave the table. `left`: it has, and the entry of its series is still in the exported
 * set, marked as ended; `refused`: it goes on.
 */
export type FoldResult = 'folded' | 'left' | 'refused';

export interface Source {
	readListeners(): readonly ListenerRecord[];
	/** Listeners that the table can hold, `other` not counted. */
	readonly listenersCapacity: number;
	/** From now on new connections of this listener count under `other`. */
	retireListener(record: ListenerRecord): void;
	/** Takes that back. */
	restoreListener(record: ListenerRecord): void;
	/**
	 * Takes a listener that was retired before the latest runsOver(), and has neither connections nor clients, out of the
	 * table. Its counts are those of `other` from then on. False: its slot is not free yet.
	 */
	foldListener(record: ListenerRecord): boolean;
	listenersFolded(): bigint;
	/**
	 * Reads the table of clients, a page whenever the next is asked for. Who is in the table all the time comes once; who
	 * comes or goes meanwhile, once or not at all.
	 */
	readClients(): Iterable<ClientPage>;
	/** Clients that the table can hold. */
	readonly clientsCapacity: number;
	/** 16-bit units in a client's key. */
	readonly clientKeyLength: number;
	/** When each listener's counters were 0, Unix nanoseconds by its key, as it was pinned. */
	readListenerSince(): Map<string, bigint>;
	writeListenerSince(listener: string, unixNs: bigint): void;
	/** The exported set, as it was pinned. */
	readExported(): Map<string, Exported>;
	/** Enters them into the exported set. Of each: whether there was room. */
	admit(admissions: readonly Admission[]): readonly boolean[];
	/** From now on programs count this client elsewhere. False: it has open connections again. */
	retire(key: string): boolean;
	/**
	 * Every run of a program that had begun is over: none holds a client that was retired before, and each client whose
	 * `createdNs` had come is in the table. Takes milliseconds.
	 */
	runsOver(): Promise<void>;
	/** Counts what has closed since the last sweep, and what is new. */
	sweep(nextTurn: NextTurn): Promise<void>;
	/**
	 * Takes a client that was retired before the latest runsOver() out of the table, its counts into its listener's, and
	 * its series out of the exported set.
	 */
	fold(key: string, exported: Exported | undefined): FoldResult;
	/** Takes an entry out of the exported set whose series has ended. False: not now, the map is in use. */
	dropExported(key: string): boolean;
	/** Clients created until then have been given a series, or put into "other"; later ones have been in neither (CLOCK_MONOTONIC nanoseconds). */
	classifiedNs: bigint;
	clientsFolded(): bigint;
	drops(): Readonly<Record<string, bigint>>;
	counted(): Readonly<Record<string, bigint>>;
	maps(): readonly MapUsage[];
	programs(): readonly ProgramUsage[];
	monotonicNs(): bigint;
	/** What the kernel module counts, by event; none where it is not used. */
	moduleEvents(): Readonly<Record<string, bigint>>;
}
