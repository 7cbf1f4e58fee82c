// SPDX-License-Identifier: Apache-2.0
/**
 * The kernel's counters as the store reads them: reads the maps, and runs the programs that fold.
 */

import { type BpfObject, type NativeError, native } from '../../../native/binding.ts';
import type { Yield } from '../../event_loop.ts';
import type { MapUsage, ProgramUsage } from '../../model/snapshot.ts';
import type { Admission, ClientPage, ExportedEntry, FoldResult, ListenerRecord, Source } from '../../model/source.ts';
import {
	clientKeyLayout,
	drop,
	foldRequestLayout,
	countedBy as layoutCountedBy,
	metaEntry,
	recountRequestLayout,
	runResult,
} from '../records/layout.gen.ts';
import { writeTraffic } from '../records/records.ts';
import type { Sweeper } from '../sweeper.ts';
import { Clients, clientKeyLength } from './clients.ts';
import { readMeta, writeMeta } from './meta.ts';
import { admissionAt, encodeAdmissions, Listeners, readExported, readListenerSince } from './tables.ts';

/** Entries are counted one by one, so not at every collection. */
const usageMs = 10_000;
/** For each table, the map whose entries show how full it is. */
const usageMaps = { clients: 'clients', connections: 'connections', exported: 'exported', listeners: 'listener_index' };

/** The results of bpf/fold.bpf.c with which the client has left the table. */
const foldResults: Readonly<Record<number, FoldResult>> = {
	[runResult.RUN_OK]: 'folded',
	[runResult.RUN_ENDED]: 'left',
};

interface Enumerator {
	readonly index: number;
	readonly name: string;
}

/**
 * The enumerators with this prefix, and the rest of their names in lower case. The enumerator that
 * gives their number is not one of them.
 */
function enumerators(of: Readonly<Record<string, number>>, prefix: string): readonly Enumerator[] {
	return Object.entries(of)
		.filter(([name]) => name.startsWith(prefix))
		.map(([name, index]) => ({ index, name: name.slice(prefix.length).toLowerCase() }));
}

const dropReasons = enumerators(drop, 'DROP_');
const countedBy = enumerators(layoutCountedBy, 'COUNTED_BY_');

export class Counters implements Source {
	readonly clientKeyLength = clientKeyLength;
	readonly #bpf: BpfObject;
	readonly #sweeper: Sweeper;
	readonly #clients: Clients;
	readonly #listeners: Listeners;
	readonly moduleEvents: Source['moduleEvents'];
	#toRecount = true;
	#usage: readonly MapUsage[] = [];
	#usageAt = Number.NEGATIVE_INFINITY;

	/** `profileName` names a profile by its id. */
	constructor(
		bpf: BpfObject,
		sweeper: Sweeper,
		profileName: (id: number) => string | undefined,
		moduleEvents: Source['moduleEvents'],
	) {
		this.#bpf = bpf;
		this.#sweeper = sweeper;
		this.moduleEvents = moduleEvents;
		this.#clients = new Clients(bpf);
		this.#listeners = new Listeners(bpf, profileName);
	}

	sweep(yieldLoop: Yield): Promise<void> {
		return this.#sweeper.sweep(false, yieldLoop);
	}

	readListeners(): readonly ListenerRecord[] {
		return this.#listeners.read();
	}

	get listenersCapacity(): number {
		return this.#listeners.capacity;
	}

	retireListener(record: ListenerRecord): void {
		this.#listeners.setRetired(record, true);
	}

	restoreListener(record: ListenerRecord): void {
		this.#listeners.setRetired(record, false);
	}

	foldListener(record: ListenerRecord): boolean {
		return this.#listeners.fold(record);
	}

	listenersFolded(): bigint {
		return readMeta(this.#bpf, metaEntry.META_LISTENERS_FOLDED);
	}

	*readClients(): Generator<ClientPage> {
		const recount = this.#toRecount;
		let isWhole = false;
		// reset it now: a reload between two pages sets it again
		this.#toRecount = false;
		try {
			for (const page of this.#clients.read()) {
				if (recount) for (let index = 0; index < page.length; index++) this.recount(page.key(index));
				yield page;
			}
			isWhole = true;
		} finally {
			if (recount && !isWhole) this.#toRecount = true;
		}
	}

	/**
	 * Makes the next collection count each client for its prefix again, because other settings have
	 * other prefixes.
	 */
	recountPrefixes(): void {
		this.#toRecount = true;
	}

	/** Counts a client for its prefix under the current settings. */
	recount(key: string): void {
		const request = Buffer.alloc(recountRequestLayout.size);
		request.write(key, recountRequestLayout.key, clientKeyLayout.size, 'latin1');
		this.#bpf.run('toascope_recount', request);
	}

	get clientsCapacity(): number {
		return this.#clients.capacity;
	}

	readListenerSince(): Map<string, bigint> {
		return readListenerSince(this.#bpf);
	}

	writeListenerSince(listener: string, unixNs: bigint): void {
		const value = Buffer.alloc(8);
		value.writeBigUInt64LE(unixNs);
		this.#bpf.map('listener_since').update(Buffer.from(listener, 'latin1'), value);
	}

	readExported(): Map<string, ExportedEntry> {
		return readExported(this.#bpf);
	}

	admit(admissions: readonly Admission[]): readonly boolean[] {
		if (admissions.length === 0) return [];
		const { keys, values } = encodeAdmissions(admissions);
		try {
			this.#bpf.map('exported').updateAll(keys, values);
			return admissions.map(() => true);
		} catch (error) {
			if ((error as NativeError).code !== 'E2BIG') throw error;
			// a batch ends at the first entry without room, so they are added one by one
			return admissions.map((_, index) => this.#bpf.map('exported').update(...admissionAt(keys, values, index)));
		}
	}

	#foldRequest(key: string, exported: ExportedEntry | undefined): Buffer {
		const request = Buffer.alloc(foldRequestLayout.size);
		request.write(key, foldRequestLayout.key, clientKeyLayout.size, 'latin1');
		request.writeUInt32LE(exported === undefined ? 0 : 1, foldRequestLayout.shown);
		if (exported !== undefined) writeTraffic(request, foldRequestLayout.base, exported.base);
		return request;
	}

	retire(key: string): boolean {
		return this.#bpf.run('toascope_retire', this.#foldRequest(key, undefined)) === runResult.RUN_OK;
	}

	synchronize(): Promise<void> {
		return this.#bpf.synchronize();
	}

	fold(key: string, exported: ExportedEntry | undefined): FoldResult {
		const result = this.#bpf.run('toascope_fold', this.#foldRequest(key, exported));
		return foldResults[result] ?? 'refused';
	}

	dropExported(key: string): boolean {
		try {
			this.#bpf.map('exported').remove(Buffer.from(key, 'latin1'));
			return true;
		} catch (error) {
			if ((error as NativeError).code === 'EBUSY') return false;
			throw error;
		}
	}

	get classifiedNs(): bigint {
		return readMeta(this.#bpf, metaEntry.META_CLASSIFIED_NS);
	}

	set classifiedNs(ns: bigint) {
		writeMeta(this.#bpf, metaEntry.META_CLASSIFIED_NS, ns);
	}

	clientsFolded(): bigint {
		return readMeta(this.#bpf, metaEntry.META_FOLDED);
	}

	drops(): Readonly<Record<string, bigint>> {
		return this.#numbers('drops', dropReasons);
	}

	counted(): Readonly<Record<string, bigint>> {
		return this.#numbers('counted', countedBy);
	}

	/** Reads a map of numbers, by the names of their enumerators. */
	#numbers(map: string, names: readonly Enumerator[]): Readonly<Record<string, bigint>> {
		const key = Buffer.alloc(4);
		const value = Buffer.alloc(8);
		return Object.fromEntries(
			names.map(({ index, name }) => {
				key.writeUInt32LE(index);
				this.#bpf.map(map).lookup(key, value);
				return [name, value.readBigUInt64LE()];
			}),
		);
	}

	maps(): readonly MapUsage[] {
		if (performance.now() - this.#usageAt > usageMs) {
			this.#usageAt = performance.now();
			this.#usage = Object.entries(usageMaps).map(([map, counts]) => ({
				map,
				// the collection has just read it
				entries: map === 'clients' ? this.#clients.entries : this.#bpf.map(counts).count(),
				capacity: this.#bpf.map(counts).maxEntries,
			}));
		}
		return this.#usage;
	}

	programs(): readonly ProgramUsage[] {
		return this.#bpf.programStatistics();
	}

	monotonicNs(): bigint {
		return native().monotonicNs();
	}
}
