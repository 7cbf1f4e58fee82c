// SPDX-License-Identifier: Apache-2.0
/** What the store reads: a provider's kernel state. The store never knows which provider it is. */
import type { ListenerTotals, MapUsage, ProgramUsage, Traffic } from './snapshot.ts';

/** One line of the table of listeners. */
export interface ListenerRecord extends Omit<ListenerTotals, 'listener'> {
	/** Identity: the bytes of its key. */
	readonly key: string;
	/** Connections without a believable TOA. */
	readonly direct: Traffic;
	/** Of clients that found the table full. */
	readonly overflow: Traffic;
	/** Of clients that have left the table without, or before, a series. */
	readonly unshown: Traffic;
}

/** Sums that are being added up. */
export type Sum = { -readonly [Field in keyof Traffic]: Traffic[Field] };

/** The table of clients as it was read; valid until the next read. */
export interface ClientTable {
	readonly length: number;
	/** Identity: the bytes of its key. */
	key(index: number): string;
	/** The key of its listener. */
	listener(index: number): string;
	/** Address or prefix. */
	label(index: number): string;
	traffic(index: number): Traffic;
	add(index: number, to: Sum): void;
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
	/** Unix nanoseconds. */
	readonly sinceNs: bigint;
}

export interface Source {
	readListeners(): readonly ListenerRecord[];
	readClients(): ClientTable;
	/** Clients that the table can hold. */
	readonly clientsCapacity: number;
	/** The exported set, as it was pinned. */
	readExported(): Map<string, Exported>;
	/** False: there is no room. */
	admit(key: string, exported: Exported): boolean;
	/** From now on programs count this client elsewhere. False: it has open connections again. */
	retire(key: string): boolean;
	/** Takes a retired client out of the table, its counts into its listener's. False: it goes on. */
	fold(key: string, exported: Exported | undefined): boolean;
	/** Clients made before have been given a series, or put into "other" (CLOCK_MONOTONIC nanoseconds). */
	classifiedNs: bigint;
	clientsFolded(): bigint;
	drops(): Readonly<Record<string, bigint>>;
	maps(): readonly MapUsage[];
	programs(): readonly ProgramUsage[];
	monotonicNs(): bigint;
}
