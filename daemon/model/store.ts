// SPDX-License-Identifier: Apache-2.0
/**
 * The store: it collects the kernel's counters on the daemon's clock, decides which clients have
 * series of their own, and shows all of it as an immutable snapshot. It keeps no counter: a series
 * shows the kernel's value less the base from which the series began.
 *
 * For every listener, once connections have their verdict and nothing is in flight:
 * clients + direct + other + folded = total.
 *
 * A collection reads the client table a page at a time and yields after each page, while the table
 * keeps changing. Why every sum is correct all the same: docs/notes/series.md.
 */
import type { Yield } from '../event_loop.ts';
import { type Candidate, Candidates, rankOf } from './candidates.ts';
import { ClientIndex, clientState } from './client_index.ts';
import type { Exemplars } from './exemplars.ts';
import { type ExportedClient, ExportedSet } from './exported_set.ts';
import { type ListenerRow, ListenerRows } from './listener_rows.ts';
import type { Series } from './series.ts';
import { SeriesTableBuilder } from './series_table.ts';
import type { Snapshot } from './snapshot.ts';
import type { SnapshotStore, StoreLimits } from './snapshot_store.ts';
import type { ClientPage, ExportedEntry, ListenerRecord, Source } from './source.ts';
import type { Traffic } from './traffic.ts';
import { addTo, noTraffic, subtractFrom } from './traffic.ts';
import { unixNs } from './unix_ns.ts';

/** Admissions before yielding: one call into the kernel, about a millisecond. */
const admissionsPerBatch = 1024;

/** The settings and the results of one collection. */
interface CollectionPass {
	readonly maxExported: number;
	readonly idleNs: bigint;
	readonly candidates: Candidates;
	readonly table: SeriesTableBuilder;
	/** When it began: clients that were created later are left to the next collection. */
	readonly beganNs: bigint;
	tracked: number;
	/** Retired clients with series: they can be folded at the next collection. */
	retiring: number;
}

export class Store implements SnapshotStore {
	readonly #source: Source;
	#limits: StoreLimits;
	readonly #drops: () => Readonly<Record<string, bigint>>;
	readonly #exemplars: Exemplars | undefined;
	readonly #rows: ListenerRows;
	/** The value that the previous daemon wrote. */
	readonly #classifiedNs: bigint;
	readonly #exported: ExportedSet;
	readonly #clients: ClientIndex;
	#retiring = 0;
	#collecting = false;
	#snapshot: Snapshot | undefined;
	/**
	 * When clients were last shown, by this or an earlier daemon (Unix nanoseconds): one that no
	 * snapshot has shown yet began no earlier, as far as readers can tell. Its series must begin
	 * before the snapshot that first shows it, since readers then count from 0; and after the one
	 * that last showed an earlier series of the same client.
	 */
	#shownNs: bigint;

	/**
	 * `drops`: what was dropped outside the kernel, by reason; `exemplars`: undefined: no connection
	 * has a span.
	 */
	constructor(
		source: Source,
		limits: StoreLimits,
		drops: () => Readonly<Record<string, bigint>> = () => ({}),
		exemplars?: Exemplars,
	) {
		this.#source = source;
		this.#limits = limits;
		this.#drops = drops;
		this.#exemplars = exemplars;
		this.#exported = new ExportedSet(source);
		this.#classifiedNs = source.classifiedNs;
		this.#shownNs = lastShownNs(source);
		this.#rows = new ListenerRows(source, this.#shownNs);
		this.#clients = new ClientIndex(source.clientsCapacity, source.clientKeyLength);
	}

	/** The latest; undefined before the first collection. */
	get snapshot(): Snapshot | undefined {
		return this.#snapshot;
	}

	get limits(): StoreLimits {
		return this.#limits;
	}

	/** In effect from the next collection on. */
	set limits(limits: StoreLimits) {
		this.#limits = limits;
	}

	/**
	 * Runs one collection, one at a time. It admits and folds clients, and replaces the snapshot at
	 * the end. A collection that fails or is aborted leaves the snapshot as it was, and nothing
	 * that the next one would have to repair.
	 */
	async collect(yieldLoop: Yield): Promise<Snapshot> {
		if (this.#collecting) throw new Error('another collection is under way');
		this.#collecting = true;
		try {
			// before the sweep, which counts all connections that it has
			this.#exemplars?.freeze();
			// connections that have closed since the last collection are in no counter before
			await this.#source.sweep(yieldLoop);
			const pass = this.#beginPass();
			// then no program uses a client that was retired, and each client that was created
			// before is in the table
			const synchronized = this.#source.synchronize();
			await yieldLoop(synchronized);
			// some implementations of yieldLoop ignore the promise
			await synchronized;
			for (const page of this.#source.readClients()) {
				this.#readPage(page, pass);
				await yieldLoop();
			}
			await this.#admit(pass, yieldLoop);
			await this.#exported.sweep(yieldLoop);
			this.#retiring = pass.retiring;
			// before anything is shown: a later daemon must not take out of "other" what is shown
			// there
			this.#source.classifiedNs = pass.beganNs;
			// after folding: the counts of clients that left the table must be in their listener's
			const readNs = unixNs();
			this.#snapshot = this.#buildSnapshot(pass, this.#rows.foldIdle(pass.beganNs, pass.idleNs));
			this.#shownNs = unixNs();
			this.#rows.collectionEnded(readNs);
			return this.#snapshot;
		} finally {
			this.#collecting = false;
		}
	}

	#beginPass(): CollectionPass {
		const { maxExported, idleMs } = this.#limits;
		this.#rows.clear();
		return {
			maxExported,
			idleNs: BigInt(idleMs) * 1_000_000n,
			candidates: new Candidates(Math.max(0, maxExported - this.#exported.size + this.#retiring)),
			table: new SeriesTableBuilder(this.#exported.size + 2 * this.#rows.length),
			beganNs: this.#source.monotonicNs(),
			tracked: 0,
			retiring: 0,
		};
	}

	#readPage(page: ClientPage, pass: CollectionPass): void {
		const clients = this.#clients;
		const { clientKeyLength } = this.#source;
		for (let index = 0; index < page.length; index++) {
			// it is chance whether a client that was created meanwhile is read at all; one that is
			// skipped here has certainly not been shown
			if (page.createdNs(index) > pass.beganNs) {
				pass.tracked++;
				continue;
			}
			const number = clients.number(page.keys, index * clientKeyLength);
			if (clients.states[number] === clientState.new) this.#register(page, index, number);
			const outcome = this.#retireOrFold(page, index, number, pass);
			if (outcome === 'folded') continue;
			pass.tracked++;
			this.#rowOf(number).clients++;
			if (clients.states[number] === clientState.exported) this.#addSeries(page, index, number, pass);
			else this.#classify(page, index, number, outcome === 'retiring', pass);
		}
	}

	#rowOf(number: number): ListenerRow {
		return this.#rows.at(this.#clients.listenerRows[number] ?? 0);
	}

	/**
	 * Registers a client that is read for the first time, or for the first time since a collection
	 * that failed.
	 */
	#register(page: ClientPage, index: number, number: number): void {
		const key = page.listener(index);
		this.#clients.listenerRows[number] = this.#rows.indexOf(key) ?? this.#rows.add(key, page.endpoint(index));
		if (!this.#exported.hasUnresumed) return;
		const exported = this.#exported.resume(page.key(index));
		if (exported !== undefined) this.#startSeries(number, exported, page.label(index));
	}

	#startSeries(number: number, exported: ExportedEntry, client: string): Series {
		const series = { client, listener: this.#rowOf(number).name, sinceNs: exported.sinceNs };
		this.#exported.add(number, { exported, series });
		this.#clients.states[number] = clientState.exported;
		return series;
	}

	/**
	 * Retires a client that is idle, and folds one that was retired at an earlier collection: no
	 * program uses its entry any more. `folded`: its counts are in its listener's; `retiring`: it
	 * can be folded at the next collection.
	 */
	#retireOrFold(page: ClientPage, index: number, number: number, pass: CollectionPass): 'folded' | 'retiring' | 'kept' {
		if (page.retired(index)) {
			// retired by a daemon that was killed before it showed the client: it gets a series for
			// one collection, so that its counts are folded from a series
			if (this.#isNew(page, index, number) && pass.candidates.hasRoom) return 'retiring';
			if (!this.#exported.fold(number, page.key(index))) return 'kept';
			this.#clients.remove(number);
			return 'folded';
		}
		if (page.open(index) !== 0n || lastActiveNs(page, index) + pass.idleNs >= pass.beganNs) return 'kept';
		if (!this.#source.retire(page.key(index))) return 'kept';
		if (this.#exported.get(number) !== undefined) pass.retiring++;
		return 'retiring';
	}

	/** Continues the client's series. */
	#addSeries(page: ClientPage, index: number, number: number, { table }: CollectionPass): void {
		const { exported, series } = this.#exported.get(number) as ExportedClient;
		const at = table.add(series, activeOf(page, index));
		page.copyTraffic(index, table.words, at);
		// most series have no base
		if (exported.base === noTraffic) return;
		subtractFrom(table.words, at, exported.base);
		addTo(this.#rowOf(number).sum, 0, exported.base);
	}

	/**
	 * Classifies a client without a series: a new one can get a series with all of its traffic, one
	 * of "other" by its rank.
	 */
	#classify(page: ClientPage, index: number, number: number, retiring: boolean, pass: CollectionPass): void {
		const { candidates } = pass;
		const { states, weights } = this.#clients;
		const isNew = this.#isNew(page, index, number);
		const weight = page.weight(index);
		const moved = states[number] === clientState.other ? weight - (weights[number] ?? weight) : 0;
		weights[number] = weight;
		if (isNew && candidates.hasRoom) {
			candidates.addNew(candidateOf(page, index, number, noTraffic));
			return;
		}
		states[number] = clientState.other;
		const row = this.#rowOf(number);
		page.addTraffic(index, row.sum);
		row.active += activeOf(page, index);
		const rank = rankOf(moved, weight);
		if (!retiring && !page.retired(index) && candidates.accepts(rank)) {
			candidates.addOther(candidateOf(page, index, number, page.traffic(index)), rank);
		}
	}

	/** Whether "other" has never shown the client's traffic, not even under the previous daemon. */
	#isNew(page: ClientPage, index: number, number: number): boolean {
		if (this.#clients.states[number] !== clientState.new) return false;
		return this.#snapshot !== undefined || page.createdNs(index) > this.#classifiedNs;
	}

	async #admit(pass: CollectionPass, yieldLoop: Yield): Promise<void> {
		const candidates = pass.candidates.inOrder();
		for (let from = 0; from < candidates.length; from += admissionsPerBatch) {
			if (from > 0) await yieldLoop();
			const batch = candidates.slice(from, from + admissionsPerBatch);
			const nowNs = unixNs();
			const admissions = batch
				.slice(0, Math.max(0, pass.maxExported - this.#exported.size))
				.map(({ key, base }) => ({ key, exported: { base, sinceNs: base === noTraffic ? this.#shownNs : nowNs } }));
			const admitted = this.#exported.admit(admissions);
			batch.forEach((candidate, index) => {
				const exported = admitted[index] === true ? admissions[index]?.exported : undefined;
				if (exported === undefined) this.#keepInOther(candidate);
				else this.#admitOne(candidate, exported, pass);
			});
		}
	}

	/** Begins the client's series. */
	#admitOne(
		{ number, label, traffic, base, active }: Candidate,
		exported: ExportedEntry,
		{ table }: CollectionPass,
	): void {
		// its open connections are its own from now on; of its counters "other" keeps showing the
		// base
		if (this.#clients.states[number] === clientState.other) this.#rowOf(number).active -= active;
		const at = table.add(this.#startSeries(number, exported, label), active);
		addTo(table.words, at, traffic);
		subtractFrom(table.words, at, base);
	}

	/**
	 * There is no room for a series. A new client is not in any sum yet, so its counts are added.
	 */
	#keepInOther({ number, traffic, active }: Candidate): void {
		const { states } = this.#clients;
		if (states[number] !== clientState.new) return;
		states[number] = clientState.other;
		const row = this.#rowOf(number);
		addTo(row.sum, 0, traffic);
		row.active += active;
	}

	#buildSnapshot({ tracked, table }: CollectionPass, records: readonly ListenerRecord[]): Snapshot {
		for (const record of records) {
			const index = this.#rows.indexOf(record.key) ?? this.#rows.add(record.key, record.endpoint);
			const { sum, active, direct, other } = this.#rows.at(index);
			addTo(sum, 0, record.overflow);
			addTo(sum, 0, record.unexported);
			const at = table.add(direct, openOf(record.direct));
			addTo(table.words, at, record.direct);
			// clients that have left the table had nothing open
			const otherAt = table.add(other, active + openOf(record.overflow));
			table.words.set(sum, otherAt);
		}
		const drops = { ...this.#source.drops(), ...this.#drops() };
		return Object.freeze({
			atMs: Date.now(),
			listeners: records.map((record) => this.#rows.totals(record, this.#exemplars?.of(record))),
			clients: table.build(),
			clientsTracked: tracked,
			clientsCapacity: this.#source.clientsCapacity,
			clientsExported: this.#exported.count,
			clientsFolded: this.#source.clientsFolded(),
			listenersFolded: this.#source.listenersFolded(),
			clientsOverflowed: drops.clients_full ?? 0n,
			drops,
			counted: this.#source.counted(),
			moduleEvents: this.#source.moduleEvents(),
			maps: this.#source.maps(),
			programs: this.#source.programs(),
		});
	}
}

function candidateOf(page: ClientPage, index: number, number: number, base: Traffic): Candidate {
	const [key, label, traffic] = [page.key(index), page.label(index), page.traffic(index)];
	return { number, key, label, traffic, base, active: activeOf(page, index) };
}

/** Never below 0: a connection can open and close between the reading of the two counters. */
function activeOf(page: ClientPage, index: number): number {
	return Math.max(0, Number(page.open(index)));
}

/**
 * When an earlier daemon last showed what it counted (Unix nanoseconds); now, if none has: what has
 * appeared since then has not been shown.
 */
function lastShownNs(source: Source): bigint {
	if (source.classifiedNs === 0n) return unixNs();
	return unixNs() - (source.monotonicNs() - source.classifiedNs);
}

function openOf({ opened, closed }: Traffic): number {
	return Math.max(0, Number(opened - closed));
}

/**
 * When a client was last active. Until that is recorded in its entry, it is when the entry was
 * created, which can be a second later.
 */
function lastActiveNs(page: ClientPage, index: number): bigint {
	const active = page.activeNs(index);
	return active === 0n ? page.createdNs(index) : active;
}
