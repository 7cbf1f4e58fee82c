// SPDX-License-Identifier: Apache-2.0
/**
 * A small, faithful model of the kernel's tables: what bpf/add_sums.h, verdict.h and fold.bpf.c do,
 * one step at a time.
 */
import type { Endpoint } from '../../../daemon/model/address.ts';
import type {
	Admission,
	ClientPage,
	ExportedEntry,
	FoldResult,
	ListenerRecord,
	Source,
} from '../../../daemon/model/source.ts';
import type { Traffic } from '../../../daemon/model/traffic.ts';
import * as words from '../../../daemon/model/traffic.ts';
import { noTraffic } from '../../../daemon/model/traffic.ts';
import { addTo, emptySum, type Sum, subtract } from './traffic.ts';

const histogram = { sumNs: 0n, buckets: [], boundsNs: [] };

interface Entry {
	readonly bucket: number;
	readonly traffic: Sum;
	readonly createdNs: bigint;
	activeNs: bigint;
	retired: boolean;
}

/** A copy of an entry, as it was when read. */
interface ClientRow {
	readonly key: string;
	readonly entry: Entry;
}

const endpointOf = (listener: string): Endpoint | undefined =>
	listener === 'other' ? undefined : { family: 4, text: listener, port: 80 };

type ListenerRow = Record<'total' | 'direct' | 'overflow' | 'folded' | 'unexported', Sum> & {
	readonly slot: number;
	readonly service: number;
	activeNs: bigint;
	retired: boolean;
};

/** An open connection. */
export interface Open {
	readonly listener: string;
	readonly client: string;
	/** Whether it counts under `other`, as attribute() of bpf/clients.h decides it. */
	readonly inOverflow: boolean;
}

/** It outlives a Store, as pinned maps do. Its clock is Date. */
export class KernelModel implements Source {
	readonly clientsCapacity: number;
	readonly clientKeyLength = 32;
	classifiedNs = 0n;
	/**
	 * Called at each call of the store except when it reads clients: simulates what other CPUs do
	 * during a collection.
	 */
	meanwhile: () => void = () => {};
	/** Whether the deletion of an entry from the exported set fails now (EBUSY). */
	refusesDeletion: () => boolean = () => false;
	/**
	 * A page of the table has whole buckets, and at least this many clients unless it is the last.
	 */
	pageLength = 2;
	/** The bucket of a new client, which never changes; by default it is behind all others. */
	bucketOf: (key: string) => number = () => this.#created;
	readonly listenerRows = new Map<string, ListenerRow>();
	readonly #clients = new Map<string, Entry>();
	readonly #exported = new Map<string, ExportedEntry>();
	readonly #listenerSince = new Map<string, bigint>();
	#created = 0;
	#slots = 0;
	/** The number of listeners that the table can hold, without `other`. */
	listenersCapacity = 256;
	#listenersFolded = 0n;
	#ticks = 0n;
	/** Callbacks that finish the programs that are running. */
	readonly #running = new Set<() => void>();
	#overflowed = 0n;
	#folded = 0n;

	constructor(capacity = 1000) {
		this.clientsCapacity = capacity;
	}

	/** No two calls return the same time. */
	get #nowNs(): bigint {
		return BigInt(Date.now()) * 1_000_000n + ++this.#ticks;
	}

	#listenerRow(listener: string): ListenerRow {
		let row = this.listenerRows.get(listener);
		if (row === undefined) {
			row = {
				total: emptySum(),
				direct: emptySum(),
				overflow: emptySum(),
				folded: emptySum(),
				unexported: emptySum(),
				slot: this.#slots++,
				service: 0,
				activeNs: this.#nowNs,
				retired: false,
			};
			this.listenerRows.set(listener, row);
		}
		return row;
	}

	#attribute({ listener, client, inOverflow }: Open, delta: Traffic): void {
		const row = this.#listenerRow(listener);
		row.activeNs = this.#nowNs;
		addTo(row.total, delta);
		const entry = inOverflow ? undefined : this.#clients.get(`${client} ${listener}`);
		if (client === 'direct') {
			addTo(row.direct, delta);
		} else if (entry === undefined) {
			addTo(row.overflow, delta);
		} else {
			addTo(entry.traffic, delta);
			entry.activeNs = this.#nowNs;
		}
	}

	open(client: string, listener = 'a'): Open {
		let opened: Open | undefined;
		this.beginToOpen((connection) => (opened = connection), client, listener)();
		return opened as unknown as Open;
	}

	/**
	 * Starts a program that has found the entry and has not counted yet. It counts when the
	 * returned function is called.
	 */
	beginToOpen(opened: (connection: Open) => void, client: string, at = 'a'): () => void {
		const listener = this.#counts(at) ? at : 'other';
		const key = `${client} ${listener}`;
		if (client !== 'direct' && !this.#clients.has(key) && this.#clients.size < this.clientsCapacity) this.#create(key);
		const found = this.#clients.get(key);
		const entry = found?.retired === false ? found : undefined;
		const end = () => {
			if (!this.#running.delete(end)) return;
			const connection = { client, listener, inOverflow: client !== 'direct' && entry === undefined };
			if (connection.inOverflow) this.#overflowed++;
			if (entry === undefined) {
				this.#attribute(connection, { ...noTraffic, opened: 1n });
			} else {
				addTo(this.#listenerRow(listener).total, { ...noTraffic, opened: 1n });
				addTo(entry.traffic, { ...noTraffic, opened: 1n });
				entry.activeNs = this.#nowNs;
			}
			opened(connection);
		};
		this.#running.add(end);
		return end;
	}

	/** Whether new connections count under this listener, or there is room to create it. */
	#counts(listener: string): boolean {
		const row = this.listenerRows.get(listener);
		if (row !== undefined) return !row.retired;
		const others = this.listenerRows.size - (this.listenerRows.has('other') ? 1 : 0);
		return others < this.listenersCapacity;
	}

	retireListener({ key }: ListenerRecord): void {
		this.meanwhile();
		this.#listenerRow(key).retired = true;
	}

	restoreListener({ key }: ListenerRecord): void {
		this.meanwhile();
		this.#listenerRow(key).retired = false;
	}

	foldListener({ key }: ListenerRecord): boolean {
		this.meanwhile();
		const row = this.#listenerRow(key);
		for (const part of ['total', 'direct', 'overflow', 'folded', 'unexported'] as const) {
			addTo(this.#listenerRow('other')[part], row[part]);
		}
		this.listenerRows.delete(key);
		this.#listenerSince.delete(key);
		this.#listenersFolded++;
		return true;
	}

	listenersFolded = () => this.#listenersFolded;

	sweep(): Promise<void> {
		return Promise.resolve();
	}

	synchronize(): Promise<void> {
		this.meanwhile();
		for (const end of this.#running) end();
		return Promise.resolve();
	}

	transfer(connection: Open, bytes: bigint): void {
		this.#attribute(connection, {
			...noTraffic,
			receivedBytes: bytes,
			sentBytes: 2n * bytes,
			retransmittedSegments: bytes % 3n,
			rttSumNs: 7n * bytes,
			rttCount: 1n,
		});
	}

	close(connection: Open): void {
		this.#attribute(connection, { ...noTraffic, closed: 1n, receivedBytes: 5n, durationSumNs: 1_000n });
	}

	/** Opens a connection, transfers data and closes it. */
	openAndClose(client: string, bytes: bigint, listener = 'a'): void {
		const connection = this.open(client, listener);
		this.transfer(connection, bytes);
		this.close(connection);
	}

	#create(key: string): void {
		const bucket = this.bucketOf(key);
		this.#clients.set(key, { bucket, traffic: emptySum(), createdNs: this.#nowNs, activeNs: 0n, retired: false });
		this.#created++;
	}

	tracks(client: string, listener = 'a'): boolean {
		return this.#clients.has(`${client} ${listener}`);
	}

	/** Client and listener of each entry that is not being removed. */
	get clientsInTable(): [client: string, listener: string][] {
		const some = [...this.#clients].filter(([, { retired }]) => !retired);
		return some.map(([key]) => key.split(' ') as [string, string]);
	}

	*readClients(): Generator<ClientPage> {
		for (let from = 0; ; ) {
			const ahead = [...this.#clients]
				.filter(([, { bucket }]) => bucket >= from)
				.sort(([, a], [, b]) => a.bucket - b.bucket);
			const last = ahead[this.pageLength - 1]?.[1].bucket ?? Number.POSITIVE_INFINITY;
			const rows = ahead
				.filter(([, { bucket }]) => bucket <= last)
				.map(([key, entry]) => ({ key, entry: structuredClone(entry) }));
			const length = rows.length;
			yield this.#page(rows);
			// a page is no longer valid when the next one is read
			rows.length = 0;
			if (length === ahead.length) return;
			from = last + 1;
		}
	}

	#page(rows: readonly ClientRow[]): ClientPage {
		const row = (index: number) => {
			const found = rows[index];
			if (found === undefined) throw new RangeError(`no client ${index}`);
			return found;
		};
		return {
			length: rows.length,
			keys: Uint16Array.from(rows.map(({ key }) => key.padEnd(this.clientKeyLength)).join(''), (character) =>
				character.charCodeAt(0),
			),
			key: (index) => row(index).key,
			listener: (index) => row(index).key.split(' ')[1] ?? '',
			endpoint: (index) => endpointOf(row(index).key.split(' ')[1] ?? ''),
			label: (index) => row(index).key.split(' ')[0] ?? '',
			traffic: (index) => ({ ...row(index).entry.traffic }),
			copyTraffic(index, to, at) {
				to.fill(0n, at, at + words.trafficWords);
				words.addTo(to, at, row(index).entry.traffic);
			},
			addTraffic: (index, to) => words.addTo(to, 0, row(index).entry.traffic),
			weight: (index) => {
				const { receivedBytes, sentBytes, opened } = row(index).entry.traffic;
				return Number(receivedBytes + sentBytes + opened);
			},
			createdNs: (index) => row(index).entry.createdNs,
			activeNs: (index) => row(index).entry.activeNs,
			open: (index) => row(index).entry.traffic.opened - row(index).entry.traffic.closed,
			retired: (index) => row(index).entry.retired,
		};
	}

	readListeners(): readonly ListenerRecord[] {
		this.meanwhile();
		return [...this.listenerRows].map(([key, row]) => ({
			...structuredClone(row),
			key,
			endpoint: endpointOf(key),
			handshakes: { toa: 0n, none: 0n, malformed: 0n, untrusted: 0n, conflict: 0n },
			withoutOption: [],
			hiddenByFamily: 0n,
			options: [],
			accepts: { fexit: 0n, getpeername: 0n, unseen: 0n },
			rtt: histogram,
			duration: histogram,
			acceptWait: histogram,
		}));
	}

	readListenerSince(): Map<string, bigint> {
		return new Map(this.#listenerSince);
	}

	writeListenerSince(listener: string, unixNs: bigint): void {
		this.meanwhile();
		this.#listenerSince.set(listener, unixNs);
	}

	readExported(): Map<string, ExportedEntry> {
		return structuredClone(this.#exported);
	}

	/** Admits one client at a time: the daemon can be killed between any two. */
	admit(admissions: readonly Admission[]): boolean[] {
		return admissions.map(({ key, exported }) => {
			this.meanwhile();
			if (!this.#exported.has(key) && this.#exported.size >= this.clientsCapacity) return false;
			this.#exported.set(key, structuredClone(exported));
			return true;
		});
	}

	retire(key: string): boolean {
		this.meanwhile();
		const entry = this.#clients.get(key);
		if (entry === undefined || entry.traffic.opened !== entry.traffic.closed) return false;
		entry.retired = true;
		return true;
	}

	fold(key: string, exported: ExportedEntry | undefined): FoldResult {
		this.meanwhile();
		const entry = this.#clients.get(key);
		const row = this.listenerRows.get(key.split(' ')[1] ?? '');
		if (!entry?.retired || row === undefined) return 'refused';
		if (entry.traffic.opened !== entry.traffic.closed) {
			entry.retired = false;
			return 'refused';
		}
		if (exported !== undefined) addTo(row.folded, subtract(entry.traffic, exported.base));
		addTo(row.unexported, exported === undefined ? entry.traffic : exported.base);
		this.#clients.delete(key);
		this.#folded++;
		const pinned = this.#exported.get(key);
		if (pinned === undefined) return 'folded';
		this.#exported.set(key, { ...pinned, sinceNs: 0n });
		return this.dropExported(key) ? 'folded' : 'left';
	}

	dropExported(key: string): boolean {
		if (this.refusesDeletion()) return false;
		this.#exported.delete(key);
		return true;
	}

	clientsFolded = () => this.#folded;
	drops = () => ({ clients_full: this.#overflowed });
	counted = () => ({});
	moduleEvents = () => ({});
	maps = () => [];
	programs = () => [];

	monotonicNs(): bigint {
		this.meanwhile();
		return this.#nowNs;
	}
}
