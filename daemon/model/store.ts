// SPDX-License-Identifier: Apache-2.0
/**
 * The one store: looks at the kernel's counters on the daemon's clock, decides which clients have
 * series of their own, and shows all of it as an immutable snapshot. It keeps no counter: what a
 * series shows is the kernel's value less the base from which the series began.
 *
 * For every listener, once connections have their verdict and nothing is in flight:
 * clients + direct + other + folded = total.
 *
 * A look reads the table of clients a page at a time, and gives the event loop back after each, while the
 * table goes on changing. Why no sum suffers from that: docs/architecture.md, section 5.
 */
import { type Endpoint, formatEndpoint } from './address.ts';
import { type Candidate, Candidates } from './candidates.ts';
import { ExportedSet, type Shown } from './exported_set.ts';
import { Roster, standing } from './roster.ts';
import { SeriesTableBuilder } from './series_table.ts';
import type { ListenerTotals, Series, Snapshot, Traffic } from './snapshot.ts';
import type { ClientPage, Exported, ListenerRecord, Source } from './source.ts';
import { addTo, noTraffic, subtractFrom, trafficWords } from './traffic.ts';

export interface StoreLimits {
	/** Series of clients, `direct` and `other` not counted. */
	readonly maxExported: number;
	/** Without an open connection and without traffic for so long: folded. */
	readonly idleMs: number;
}

/**
 * Gives the event loop to whoever waits for it; with `until`, what the work waits for, it resolves when that has come: the time
 * is not the work's. Rejects when the work is not wanted any more, and as `until` does.
 */
export type NextTurn = (until?: Promise<unknown>) => Promise<void>;

export const otherListener = 'other';

/** Admissions at a stretch: each is a call into the kernel. */
const admissionsATurn = 256;

/** A listener. */
interface Line {
	readonly name: string;
	/** What its `other` shows at this look, in words. */
	readonly sum: BigUint64Array;
	readonly direct: Series;
	readonly other: Series;
}

/** What one look goes by, and finds out. */
interface Look {
	readonly maxExported: number;
	readonly idleNs: bigint;
	readonly candidates: Candidates;
	readonly table: SeriesTableBuilder;
	/** When the latest page had been read. */
	readNs: bigint;
	tracked: number;
	/** Clients with series that may be folded at the next look. */
	leaving: number;
}

export class Store {
	readonly #source: Source;
	#limits: StoreLimits;
	readonly #lost: () => Readonly<Record<string, bigint>>;
	/** When the series of `direct` and `other` began here. */
	readonly #startNs = BigInt(Date.now()) * 1_000_000n;
	/** Of the daemon before this one. */
	readonly #classifiedNs: bigint;
	readonly #exported: ExportedSet;
	readonly #roster: Roster;
	readonly #lines: Line[] = [];
	/** Their places, by the listeners' keys. */
	readonly #linePlaces = new Map<string, number>();
	#leaving = 0;
	/** Whether somebody was retired since the runs of programs were waited for; by the daemon before this one, perhaps. */
	#retired = true;
	#looking = false;
	#snapshot: Snapshot | undefined;

	/** `lost` tells of what was dropped outside the kernel, by reason. */
	constructor(source: Source, limits: StoreLimits, lost: () => Readonly<Record<string, bigint>> = () => ({})) {
		this.#source = source;
		this.#limits = limits;
		this.#lost = lost;
		this.#exported = new ExportedSet(source);
		this.#classifiedNs = source.classifiedNs;
		this.#roster = new Roster(source.clientsCapacity, source.clientKeyLength);
	}

	/** The latest; undefined before the first look. */
	get snapshot(): Snapshot | undefined {
		return this.#snapshot;
	}

	/** From the next look on. */
	set limits(limits: StoreLimits) {
		this.#limits = limits;
	}

	/**
	 * Looks once, one look at a time. Admits, folds, and replaces the snapshot at the end. One that fails, or is given
	 * up, leaves the snapshot as it was, and nothing that the next one would have to mend.
	 */
	async look(nextTurn: NextTurn): Promise<Snapshot> {
		if (this.#looking) throw new Error('another look is under way');
		this.#looking = true;
		try {
			if (this.#retired) {
				const over = this.#source.runsOver();
				await nextTurn(over);
				// some that give turns know nothing of waiting
				await over;
			}
			this.#retired = false;
			const look = this.#begin();
			for (const page of this.#source.readClients()) {
				// after the read: whom it holds, "other" may show from now on, also to a daemon after this one
				look.readNs = this.#source.monotonicNs();
				this.#take(page, look);
				await nextTurn();
			}
			await this.#admit(look, nextTurn);
			await this.#exported.sweep(nextTurn);
			this.#leaving = look.leaving;
			this.#source.classifiedNs = look.readNs;
			// after folding: what has left the clients must be in its listener
			this.#snapshot = this.#show(look, this.#source.readListeners());
			return this.#snapshot;
		} finally {
			this.#looking = false;
		}
	}

	#begin(): Look {
		const { maxExported, idleMs } = this.#limits;
		for (const { sum } of this.#lines) sum.fill(0n);
		return {
			maxExported,
			idleNs: BigInt(idleMs) * 1_000_000n,
			candidates: new Candidates(Math.max(0, maxExported - this.#exported.size + this.#leaving)),
			table: new SeriesTableBuilder(this.#exported.size + 2 * this.#lines.length),
			readNs: this.#source.monotonicNs(),
			tracked: 0,
			leaving: 0,
		};
	}

	#take(page: ClientPage, look: Look): void {
		const roster = this.#roster;
		const { clientKeyLength } = this.#source;
		for (let index = 0; index < page.length; index++) {
			const number = roster.number(page.keys, index * clientKeyLength);
			if (roster.standings[number] === standing.new) this.#meet(page, index, number);
			if (this.#leaves(page, index, number, look)) continue;
			look.tracked++;
			if (roster.standings[number] === standing.shown) this.#addRow(page, index, number, look);
			else this.#classify(page, index, number, look);
		}
	}

	#lineOf(number: number): Line {
		return this.#lines[this.#roster.lines[number] ?? 0] as Line;
	}

	/** The first time that it is seen, or the first since a look that failed. */
	#meet(page: ClientPage, index: number, number: number): void {
		const key = page.listener(index);
		this.#roster.lines[number] = this.#linePlaces.get(key) ?? this.#addLine(key, page.endpoint(index));
		if (!this.#exported.waits) return;
		const exported = this.#exported.resume(page.key(index));
		if (exported !== undefined) this.#enter(number, exported, page.label(index));
	}

	#addLine(key: string, endpoint: Endpoint | undefined): number {
		const listener = nameOf(endpoint);
		const series = (client: string): Series => ({ client, listener, sinceNs: this.#startNs });
		const sum = new BigUint64Array(trafficWords);
		const place = this.#lines.push({ name: listener, sum, direct: series('direct'), other: series('other') }) - 1;
		this.#linePlaces.set(key, place);
		return place;
	}

	#enter(number: number, exported: Exported, client: string): Series {
		const series = { client, listener: this.#lineOf(number).name, sinceNs: exported.sinceNs };
		this.#exported.show(number, { exported, series });
		this.#roster.standings[number] = standing.shown;
		return series;
	}

	/**
	 * Retires who is idle, and folds who was retired at a look before: no program holds the entry any more. True: it has
	 * left, its counts are in its listener's.
	 */
	#leaves(page: ClientPage, index: number, number: number, look: Look): boolean {
		if (page.retired(index)) {
			if (!this.#exported.fold(number, page.key(index))) return false;
			this.#roster.remove(number);
			return true;
		}
		if (page.open(index) === 0n && lastSignNs(page, index) + look.idleNs < look.readNs) {
			this.#retired = true;
			if (this.#source.retire(page.key(index)) && this.#exported.get(number) !== undefined) look.leaving++;
		}
		return false;
	}

	/** Goes on with its series. */
	#addRow(page: ClientPage, index: number, number: number, { table }: Look): void {
		const { exported, series } = this.#exported.get(number) as Shown;
		const at = table.add(series);
		page.copyTraffic(index, table.words, at);
		// of most: nothing came before their series
		if (exported.base === noTraffic) return;
		subtractFrom(table.words, at, exported.base);
		addTo(this.#lineOf(number).sum, 0, exported.base);
	}

	/** Without a series: a new one may get one with all that it did, one of "other" by what it has moved. */
	#classify(page: ClientPage, index: number, number: number, look: Look): void {
		const { candidates } = look;
		const { standings, weights } = this.#roster;
		const before = standings[number] === standing.other ? weights[number] : undefined;
		const weight = page.weight(index);
		weights[number] = weight;
		if (before === undefined && candidates.open && this.#mayBegin(page, index)) {
			candidates.addFresh(candidateOf(page, index, number, noTraffic));
			return;
		}
		standings[number] = standing.other;
		page.addTraffic(index, this.#lineOf(number).sum);
		const moved = weight - (before ?? weight);
		if (candidates.wants(moved) && !page.retired(index)) {
			candidates.addBusy(candidateOf(page, index, number, page.traffic(index)), moved);
		}
	}

	/** Whether nothing that a new one did has been in "other" before, also not with the daemon before this one. */
	#mayBegin(page: ClientPage, index: number): boolean {
		return this.#snapshot !== undefined || page.createdNs(index) > this.#classifiedNs;
	}

	async #admit({ maxExported, candidates, table }: Look, nextTurn: NextTurn): Promise<void> {
		const { standings } = this.#roster;
		for (const [index, candidate] of candidates.inOrder().entries()) {
			if (index % admissionsATurn === admissionsATurn - 1) await nextTurn();
			const { number, label, key, traffic, base } = candidate;
			const exported = { base, sinceNs: BigInt(Date.now()) * 1_000_000n };
			if (this.#exported.size < maxExported && this.#exported.admit(key, exported)) {
				const at = table.add(this.#enter(number, exported, label));
				addTo(table.words, at, traffic);
				subtractFrom(table.words, at, base);
			} else if (standings[number] === standing.new) {
				standings[number] = standing.other;
				addTo(this.#lineOf(number).sum, 0, traffic);
			}
		}
	}

	#show({ tracked, table }: Look, records: readonly ListenerRecord[]): Snapshot {
		for (const record of records) {
			const place = this.#linePlaces.get(record.key) ?? this.#addLine(record.key, record.endpoint);
			const { sum, direct, other } = this.#lines[place] as Line;
			addTo(sum, 0, record.overflow);
			addTo(sum, 0, record.unshown);
			const at = table.add(direct);
			addTo(table.words, at, record.direct);
			const otherAt = table.add(other);
			table.words.set(sum, otherAt);
		}
		const drops = { ...this.#source.drops(), ...this.#lost() };
		return Object.freeze({
			atMs: Date.now(),
			listeners: records.map(totalsOf),
			clients: table.build(),
			clientsTracked: tracked,
			clientsCapacity: this.#source.clientsCapacity,
			clientsExported: this.#exported.shown,
			clientsFolded: this.#source.clientsFolded(),
			clientsOverflowed: drops.clients_full ?? 0n,
			drops,
			moduleEvents: this.#source.moduleEvents(),
			maps: this.#source.maps(),
			programs: this.#source.programs(),
		});
	}
}

function candidateOf(page: ClientPage, index: number, number: number, base: Traffic): Candidate {
	return { number, key: page.key(index), label: page.label(index), traffic: page.traffic(index), base };
}

/** When a client was last heard of. */
function lastSignNs(page: ClientPage, index: number): bigint {
	const [created, active] = [page.createdNs(index), page.activeNs(index)];
	return active > created ? active : created;
}

function nameOf(listener: Endpoint | undefined): string {
	return listener === undefined ? otherListener : formatEndpoint(listener);
}

function totalsOf(record: ListenerRecord): ListenerTotals {
	const { key: _key, direct: _direct, overflow: _overflow, unshown: _unshown, ...totals } = record;
	return { ...totals, listener: nameOf(record.endpoint) };
}
