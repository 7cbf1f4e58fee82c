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
import { type Candidate, Candidates, rankOf } from './candidates.ts';
import { ExportedSet, type Shown } from './exported_set.ts';
import { ListenerSlots } from './listener_slots.ts';
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

/** Admissions at a stretch: one call into the kernel, about a millisecond. */
const admissionsATurn = 1024;

/** A listener. */
interface Line {
	readonly name: string;
	/** When its counters were 0, where that is known (Unix nanoseconds). */
	readonly sinceNs: bigint | undefined;
	/** What its `other` shows at this look, in words. */
	readonly sum: BigUint64Array;
	/** Connections of its clients without a series that are open at this look. */
	active: number;
	/** Its clients in the table at this look. */
	clients: number;
	readonly direct: Series;
	readonly other: Series;
}

/** What one look goes by, and finds out. */
interface Look {
	readonly maxExported: number;
	readonly idleNs: bigint;
	readonly candidates: Candidates;
	readonly table: SeriesTableBuilder;
	/** When it began: later clients are for the next look. */
	readonly beganNs: bigint;
	tracked: number;
	/** Clients with series that may be folded at the next look. */
	leaving: number;
}

export class Store {
	readonly #source: Source;
	#limits: StoreLimits;
	readonly #lost: () => Readonly<Record<string, bigint>>;
	readonly #slots: ListenerSlots;
	/** When listeners' counters began that were there when this daemon came, and of which nothing says when they did. */
	readonly #startNs = unixNs();
	/** Of the daemons before this one: when each listener's counters began, by its key; 0: nothing says when. */
	readonly #listenerSince: Map<string, bigint>;
	/** Just before listeners were read the last time (Unix nanoseconds): the counters of others were 0 then. */
	#listenersReadNs: bigint | undefined;
	/** Of the daemon before this one. */
	readonly #classifiedNs: bigint;
	readonly #exported: ExportedSet;
	readonly #roster: Roster;
	readonly #lines: Line[] = [];
	/** Their places, by the listeners' keys. */
	readonly #linePlaces = new Map<string, number>();
	/** Places of lines whose listener was folded. */
	readonly #freeLines: number[] = [];
	#leaving = 0;
	#looking = false;
	#snapshot: Snapshot | undefined;

	/** `lost` tells of what was dropped outside the kernel, by reason. */
	constructor(source: Source, limits: StoreLimits, lost: () => Readonly<Record<string, bigint>> = () => ({})) {
		this.#source = source;
		this.#limits = limits;
		this.#lost = lost;
		this.#exported = new ExportedSet(source);
		this.#slots = new ListenerSlots(source);
		this.#classifiedNs = source.classifiedNs;
		this.#listenerSince = source.readListenerSince();
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
			// what has closed since the last look is in no counter before
			await this.#source.sweep(nextTurn);
			const look = this.#newLook();
			// then no program holds a client that was retired, and each client that was created before is in the table
			const over = this.#source.runsOver();
			await nextTurn(over);
			// some that give turns know nothing of waiting
			await over;
			for (const page of this.#source.readClients()) {
				this.#take(page, look);
				await nextTurn();
			}
			await this.#admit(look, nextTurn);
			await this.#exported.sweep(nextTurn);
			this.#leaving = look.leaving;
			// before anything is shown: a daemon after this one takes nothing out of "other" again
			this.#source.classifiedNs = look.beganNs;
			// after folding: what has left the clients must be in its listener
			const readNs = unixNs();
			this.#snapshot = this.#show(look, this.#foldListeners(look));
			this.#listenersReadNs = readNs;
			return this.#snapshot;
		} finally {
			this.#looking = false;
		}
	}

	#newLook(): Look {
		const { maxExported, idleMs } = this.#limits;
		for (const line of this.#lines) {
			line.sum.fill(0n);
			line.active = 0;
			line.clients = 0;
		}
		return {
			maxExported,
			idleNs: BigInt(idleMs) * 1_000_000n,
			candidates: new Candidates(Math.max(0, maxExported - this.#exported.size + this.#leaving)),
			table: new SeriesTableBuilder(this.#exported.size + 2 * this.#lines.length),
			beganNs: this.#source.monotonicNs(),
			tracked: 0,
			leaving: 0,
		};
	}

	#take(page: ClientPage, look: Look): void {
		const roster = this.#roster;
		const { clientKeyLength } = this.#source;
		for (let index = 0; index < page.length; index++) {
			// whether its place has been read already is chance; left out, it is certain where it was not shown
			if (page.createdNs(index) > look.beganNs) {
				look.tracked++;
				continue;
			}
			const number = roster.number(page.keys, index * clientKeyLength);
			if (roster.standings[number] === standing.new) this.#meet(page, index, number);
			const fate = this.#leaves(page, index, number, look);
			if (fate === 'left') continue;
			look.tracked++;
			this.#lineOf(number).clients++;
			if (roster.standings[number] === standing.shown) this.#addRow(page, index, number, look);
			else this.#classify(page, index, number, fate === 'leaves', look);
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
		const sinceNs = this.#sinceOf(key);
		const begun = sinceNs === undefined ? { sinceNs: this.#startNs, older: true } : { sinceNs };
		const series = (client: string): Series => ({ client, listener, ...begun });
		const sum = new BigUint64Array(trafficWords);
		const [direct, other] = [series('direct'), series('other')];
		const place = this.#freeLines.pop() ?? this.#lines.length;
		this.#lines[place] = { name: listener, sum, active: 0, clients: 0, sinceNs, direct, other };
		this.#linePlaces.set(key, place);
		return place;
	}

	/** When a listener's counters were 0; undefined where nothing says so. */
	#sinceOf(key: string): bigint | undefined {
		const noted = this.#listenerSince.get(key);
		if (noted !== undefined) return noted === 0n ? undefined : noted;
		const beginNs = this.#listenersReadNs ?? this.#beginBefore();
		this.#source.writeListenerSince(key, beginNs);
		return beginNs;
	}

	/** Of one that is met at the first look, and that no daemon before this one has met. */
	#beginBefore(): bigint {
		// no look has ever ended: counting has just begun, or at least nothing of it was shown
		if (this.#classifiedNs === 0n) return this.#startNs;
		return unixNs() - (this.#source.monotonicNs() - this.#classifiedNs);
	}

	/** Listeners that are gone leave the table. Returns those that are in it. */
	#foldListeners({ beganNs, idleNs }: Look): readonly ListenerRecord[] {
		const hasClients = (key: string) => (this.#lines[this.#linePlaces.get(key) ?? -1]?.clients ?? 0) > 0;
		const { records, folded } = this.#slots.settle({ nowNs: beganNs, idleNs, hasClients });
		for (const key of folded) {
			const place = this.#linePlaces.get(key);
			if (place === undefined) continue;
			this.#linePlaces.delete(key);
			this.#listenerSince.delete(key);
			this.#freeLines.push(place);
		}
		return records;
	}

	#enter(number: number, exported: Exported, client: string): Series {
		const series = { client, listener: this.#lineOf(number).name, sinceNs: exported.sinceNs };
		this.#exported.show(number, { exported, series });
		this.#roster.standings[number] = standing.shown;
		return series;
	}

	/**
	 * Retires a client that is idle, and folds one that was retired at a look before: no program holds the entry any more.
	 * `left`: its counts are in its listener's; `leaves`: it will have left at the next look.
	 */
	#leaves(page: ClientPage, index: number, number: number, look: Look): 'left' | 'leaves' | 'stays' {
		if (page.retired(index)) {
			// a daemon that was killed retired it, and never showed it: it has a series for one look, to fold its counts from
			if (this.#isFresh(page, index, number) && look.candidates.open) return 'leaves';
			if (!this.#exported.fold(number, page.key(index))) return 'stays';
			this.#roster.remove(number);
			return 'left';
		}
		if (page.open(index) !== 0n || lastSignNs(page, index) + look.idleNs >= look.beganNs) return 'stays';
		if (!this.#source.retire(page.key(index))) return 'stays';
		if (this.#exported.get(number) !== undefined) look.leaving++;
		return 'leaves';
	}

	/** Goes on with its series. */
	#addRow(page: ClientPage, index: number, number: number, { table }: Look): void {
		const { exported, series } = this.#exported.get(number) as Shown;
		const at = table.add(series, activeOf(page, index));
		page.copyTraffic(index, table.words, at);
		// of most: nothing came before their series
		if (exported.base === noTraffic) return;
		subtractFrom(table.words, at, exported.base);
		addTo(this.#lineOf(number).sum, 0, exported.base);
	}

	/** Without a series: a new one may get one with all that it did, one of "other" by its rank. */
	#classify(page: ClientPage, index: number, number: number, leaves: boolean, look: Look): void {
		const { candidates } = look;
		const { standings, weights } = this.#roster;
		const fresh = this.#isFresh(page, index, number);
		const weight = page.weight(index);
		const moved = standings[number] === standing.other ? weight - (weights[number] ?? weight) : 0;
		weights[number] = weight;
		if (fresh && candidates.open) {
			candidates.addFresh(candidateOf(page, index, number, noTraffic));
			return;
		}
		standings[number] = standing.other;
		const line = this.#lineOf(number);
		page.addTraffic(index, line.sum);
		line.active += activeOf(page, index);
		const rank = rankOf(moved, weight);
		if (!leaves && !page.retired(index) && candidates.wants(rank)) {
			candidates.addOther(candidateOf(page, index, number, page.traffic(index)), rank);
		}
	}

	/** Whether nothing that it did has been in "other" before, also not with the daemon before this one. */
	#isFresh(page: ClientPage, index: number, number: number): boolean {
		if (this.#roster.standings[number] !== standing.new) return false;
		return this.#snapshot !== undefined || page.createdNs(index) > this.#classifiedNs;
	}

	async #admit(look: Look, nextTurn: NextTurn): Promise<void> {
		const candidates = look.candidates.inOrder();
		for (let from = 0; from < candidates.length; from += admissionsATurn) {
			if (from > 0) await nextTurn();
			const some = candidates.slice(from, from + admissionsATurn);
			const sinceNs = unixNs();
			const admissions = some
				.slice(0, Math.max(0, look.maxExported - this.#exported.size))
				.map(({ key, base }) => ({ key, exported: { base, sinceNs } }));
			const admitted = this.#exported.admit(admissions);
			some.forEach((candidate, index) => {
				const exported = admitted[index] === true ? admissions[index]?.exported : undefined;
				if (exported === undefined) this.#leaveInOther(candidate);
				else this.#begin(candidate, exported, look);
			});
		}
	}

	/** Its series begins. */
	#begin({ number, label, traffic, base, active }: Candidate, exported: Exported, { table }: Look): void {
		// what it has open is its own from now on; of its counters "other" goes on showing the base
		if (this.#roster.standings[number] === standing.other) this.#lineOf(number).active -= active;
		const at = table.add(this.#enter(number, exported, label), active);
		addTo(table.words, at, traffic);
		subtractFrom(table.words, at, base);
	}

	/** There is no place. One that has just come is in no sum yet. */
	#leaveInOther({ number, traffic, active }: Candidate): void {
		const { standings } = this.#roster;
		if (standings[number] !== standing.new) return;
		standings[number] = standing.other;
		const line = this.#lineOf(number);
		addTo(line.sum, 0, traffic);
		line.active += active;
	}

	#show({ tracked, table }: Look, records: readonly ListenerRecord[]): Snapshot {
		for (const record of records) {
			const place = this.#linePlaces.get(record.key) ?? this.#addLine(record.key, record.endpoint);
			const { sum, active, direct, other } = this.#lines[place] as Line;
			addTo(sum, 0, record.overflow);
			addTo(sum, 0, record.unshown);
			const at = table.add(direct, openOf(record.direct));
			addTo(table.words, at, record.direct);
			// whatever has left the table had nothing open
			const otherAt = table.add(other, active + openOf(record.overflow));
			table.words.set(sum, otherAt);
		}
		const drops = { ...this.#source.drops(), ...this.#lost() };
		return Object.freeze({
			atMs: Date.now(),
			listeners: records.map((record) => totalsOf(record, this.#lines[this.#linePlaces.get(record.key) ?? 0]?.sinceNs)),
			clients: table.build(),
			clientsTracked: tracked,
			clientsCapacity: this.#source.clientsCapacity,
			clientsExported: this.#exported.shown,
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

/** Both counters of a connection that comes and goes meanwhile may have been read between its opening and its end: never below 0. */
function activeOf(page: ClientPage, index: number): number {
	return Math.max(0, Number(page.open(index)));
}

function openOf({ opened, closed }: Traffic): number {
	return Math.max(0, Number(opened - closed));
}

function unixNs(): bigint {
	return BigInt(Date.now()) * 1_000_000n;
}

/** When a client was last active; its entry is made when that is counted, which may be a second later. */
function lastSignNs(page: ClientPage, index: number): bigint {
	const active = page.activeNs(index);
	return active === 0n ? page.createdNs(index) : active;
}

function nameOf(listener: Endpoint | undefined): string {
	return listener === undefined ? otherListener : formatEndpoint(listener);
}

function totalsOf(record: ListenerRecord, sinceNs: bigint | undefined): ListenerTotals {
	const { key: _key, slot: _slot, activeNs: _activeNs, retired: _retired, ...shown } = record;
	const { direct: _direct, overflow: _overflow, unshown: _unshown, ...totals } = shown;
	return { ...totals, listener: nameOf(record.endpoint), sinceNs };
}
