// SPDX-License-Identifier: Apache-2.0
/**
 * What the store reads: a provider's kernel state. The store does not know which provider it is.
 */

import type { Yield } from '../event_loop.ts';
import type { Endpoint } from './address.ts';
import type { ListenerTotals, MapUsage, ProgramUsage } from './snapshot.ts';
import type { Traffic } from './traffic.ts';

/** An entry of the listener table. */
export interface ListenerRecord extends Omit<ListenerTotals, 'listener' | 'sinceNs'> {
	/** Identity: the bytes of its key. */
	readonly key: string;
	/** Connections whose verdict names no client. */
	readonly direct: Traffic;
	/** Traffic of clients that found the client table full. */
	readonly overflow: Traffic;
	/**
	 * Traffic of clients that left the client table without a series, or from before their series.
	 */
	readonly unexported: Traffic;
	readonly slot: number;
	/** `service` of its slot (struct listener_slot). */
	readonly service: number;
	/**
	 * When one of its connections last opened or closed, to about a second (CLOCK_MONOTONIC
	 * nanoseconds).
	 */
	readonly activeNs: bigint;
	/** Being folded: new connections count under `other`. */
	readonly retired: boolean;
}

/** Entries of the client table as they were a moment ago; valid until the next page is read. */
export interface ClientPage {
	readonly length: number;
	/** Identity: the units of the keys, `Source.clientKeyLength` for each client. */
	readonly keys: Uint16Array;
	/** The same key as text, one character per byte. */
	key(index: number): string;
	/** Address or prefix. */
	label(index: number): string;
	/** The key of its listener. */
	listener(index: number): string;
	/** Its listener's endpoint; undefined for `other`. */
	endpoint(index: number): Endpoint | undefined;
	traffic(index: number): Traffic;
	/** Copies its traffic, as words (traffic.ts), to `to` from index `at` on. */
	copyTraffic(index: number, to: BigUint64Array, at: number): void;
	addTraffic(index: number, to: BigUint64Array): void;
	/** Bytes and connections so far, rounded: how busy the client is. */
	weight(index: number): number;
	/** CLOCK_MONOTONIC nanoseconds. */
	createdNs(index: number): bigint;
	activeNs(index: number): bigint;
	/** Connections that are open. */
	open(index: number): bigint;
	/** Being removed from the table. */
	retired(index: number): boolean;
}

/** A series of the exported set. */
export interface ExportedEntry {
	/** The client's traffic before its series began, which "other" shows. */
	readonly base: Traffic;
	/** Unix nanoseconds; 0: the series has ended, and only its entry is left. */
	readonly sinceNs: bigint;
}

/** A series to be added to the exported set. */
export interface Admission {
	/** The client's key. */
	readonly key: string;
	readonly exported: ExportedEntry;
}

/**
 * The result of folding a client. `folded`: it has left the table; `left`: it has, but the entry of
 * its series is still in the exported set, marked as ended; `refused`: it stays in the table.
 */
export type FoldResult = 'folded' | 'left' | 'refused';

export interface Source {
	readListeners(): readonly ListenerRecord[];
	/** Listeners that the table can hold, without `other`. */
	readonly listenersCapacity: number;
	/** Retires a listener: new connections count under `other`. */
	retireListener(record: ListenerRecord): void;
	/** Undoes retireListener(). */
	restoreListener(record: ListenerRecord): void;
	/**
	 * Removes a listener from the table that was retired before the latest synchronize() and has
	 * neither connections nor clients. From then on its counts are those of `other`. False: its
	 * slot is not free yet.
	 */
	foldListener(record: ListenerRecord): boolean;
	listenersFolded(): bigint;
	/**
	 * Reads the client table, one page each time the next is requested. A client that is in the
	 * table throughout appears exactly once; one that is added or removed meanwhile, once or not at
	 * all.
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
	readExported(): Map<string, ExportedEntry>;
	/** Adds series to the exported set. Returns whether there was room, for each of them. */
	admit(admissions: readonly Admission[]): readonly boolean[];
	/**
	 * Retires a client: new connections count elsewhere. Returns false if it has open connections.
	 */
	retire(key: string): boolean;
	/**
	 * Waits for a grace period: when it resolves, every BPF program run that had already started
	 * has ended. Then no run uses a client that was retired before, and each client that was
	 * created before the call is in the table. Resolves after some milliseconds.
	 */
	synchronize(): Promise<void>;
	/** Counts connections that have closed since the last sweep, and new ones. */
	sweep(yieldLoop: Yield): Promise<void>;
	/**
	 * Removes a client that was retired before the latest synchronize() from the table, adds its
	 * counts to its listener's, and removes its series from the exported set.
	 */
	fold(key: string, exported: ExportedEntry | undefined): FoldResult;
	/**
	 * Deletes the entry of an ended series from the exported set. False: not now, the map is in
	 * use.
	 */
	dropExported(key: string): boolean;
	/**
	 * Clients created until then have been given a series or put into "other"; later ones are not
	 * classified yet (CLOCK_MONOTONIC nanoseconds).
	 */
	classifiedNs: bigint;
	clientsFolded(): bigint;
	drops(): Readonly<Record<string, bigint>>;
	counted(): Readonly<Record<string, bigint>>;
	maps(): readonly MapUsage[];
	programs(): readonly ProgramUsage[];
	monotonicNs(): bigint;
	/** What the kernel module counts, by event; empty where the module is not used. */
	moduleEvents(): Readonly<Record<string, bigint>>;
}
