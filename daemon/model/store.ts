// SPDX-License-Identifier: Apache-2.0
/**
 * The one store: looks at the kernel's counters on the daemon's clock, decides which clients have
 * series of their own, and shows all of it as an immutable snapshot. It keeps no counter: what a
 * series shows is the kernel's value less the base from which the series began.
 *
 * For every listener, once connections have their verdict and nothing is in flight:
 * clients + direct + other + folded = total.
 */
import { formatEndpoint } from './address.ts';
import type { ClientSeries, ListenerTotals, Snapshot, Traffic } from './snapshot.ts';
import type { ClientTable, Exported, ListenerRecord, Source, Sum } from './source.ts';
import { addTo, emptySum, noTraffic, subtract } from './traffic.ts';

export interface StoreLimits {
	/** Series of clients, `direct` and `other` not counted. */
	readonly maxExported: number;
	/** Without an open connection and without traffic for so long: folded. */
	readonly idleMs: number;
}

export const otherListener = 'other';

/** What each client in "other" had moved at the last look: who is busiest gets the next free place. */
type Activity = Map<string, bigint>;

const weight = (traffic: Traffic) => traffic.receivedBytes + traffic.sentBytes + traffic.opened;

export class Store {
	readonly #source: Source;
	#limits: StoreLimits;
	readonly #lost: () => Readonly<Record<string, bigint>>;
	/** When the series of `direct` and `other` began here. */
	readonly #startNs = BigInt(Date.now()) * 1_000_000n;
	readonly #exported: Map<string, Exported>;
	/** Of the daemon before this one. */
	readonly #classifiedNs: bigint;
	/** Undefined before the first look. */
	#activity: Activity | undefined;
	#snapshot: Snapshot | undefined;

	/** `lost` tells of what was dropped outside the kernel, by reason. */
	constructor(source: Source, limits: StoreLimits, lost: () => Readonly<Record<string, bigint>> = () => ({})) {
		this.#source = source;
		this.#limits = limits;
		this.#lost = lost;
		this.#exported = source.readExported();
		this.#classifiedNs = source.classifiedNs;
	}

	/** The latest; undefined before the first look. */
	get snapshot(): Snapshot | undefined {
		return this.#snapshot;
	}

	set limits(limits: StoreLimits) {
		this.#limits = limits;
	}

	/** Looks once. Admits, folds, and replaces the snapshot. */
	look(): Snapshot {
		const source = this.#source;
		const clients = source.readClients();
		// after the read: whom it holds, "other" may show from now on, also to a daemon after this one
		const nowNs = source.monotonicNs();
		const gone = this.#fold(clients, nowNs);
		this.#admit(clients, gone);
		source.classifiedNs = nowNs;
		// after folding: what has left the clients must be in its listener
		this.#snapshot = this.#show(clients, gone, source.readListeners());
		return this.#snapshot;
	}

	/**
	 * Two looks apart, so that no program that still holds the entry can lose a count. Returns the places in the table
	 * of those whose counts are in their listener now.
	 */
	#fold(clients: ClientTable, nowNs: bigint): ReadonlySet<number> {
		const idleNs = BigInt(this.#limits.idleMs) * 1_000_000n;
		const gone = new Set<number>();
		for (let index = 0; index < clients.length; index++) {
			if (clients.retired(index)) {
				const key = clients.key(index);
				if (!this.#source.fold(key, this.#exported.get(key))) continue;
				this.#exported.delete(key);
				gone.add(index);
			} else if (clients.open(index) === 0n && lastSignNs(clients, index, nowNs) + idleNs < nowNs) {
				this.#source.retire(clients.key(index));
			}
		}
		return gone;
	}

	/** New clients first, with all that they did; then, from "other", the busiest since the last look. */
	#admit(clients: ClientTable, gone: ReadonlySet<number>): void {
		const waiting: { index: number; key: string; moved: bigint }[] = [];
		const before = this.#activity;
		const activity: Activity = new Map();
		for (let index = 0; index < clients.length; index++) {
			if (gone.has(index)) continue;
			const key = clients.key(index);
			if (this.#exported.has(key)) continue;
			const now = weight(clients.traffic(index));
			if (clients.retired(index)) {
				activity.set(key, now);
				continue;
			}
			const fresh = before === undefined ? clients.createdNs(index) > this.#classifiedNs : !before.has(key);
			if (fresh && this.#enter(key, noTraffic)) continue;
			activity.set(key, now);
			const moved = now - (before?.get(key) ?? now);
			if (moved > 0n) waiting.push({ index, key, moved });
		}
		this.#activity = activity;
		if (this.#exported.size >= this.#limits.maxExported) return;
		waiting.sort((a, b) => (a.moved < b.moved ? 1 : a.moved > b.moved ? -1 : 0));
		for (const { index, key } of waiting) {
			if (!this.#enter(key, clients.traffic(index))) return;
			activity.delete(key);
		}
	}

	#enter(key: string, base: Traffic): boolean {
		if (this.#exported.size >= this.#limits.maxExported) return false;
		const exported = { base, sinceNs: BigInt(Date.now()) * 1_000_000n };
		if (!this.#source.admit(key, exported)) return false;
		this.#exported.set(key, exported);
		return true;
	}

	#show(clients: ClientTable, gone: ReadonlySet<number>, records: readonly ListenerRecord[]): Snapshot {
		const names = new Map(records.map((record) => [record.key, nameOf(record)]));
		const others = new Map<string, Sum>();
		for (const record of records) {
			const other = emptySum();
			addTo(other, record.overflow);
			addTo(other, record.unshown);
			others.set(record.key, other);
		}
		const series: ClientSeries[] = [];
		for (let index = 0; index < clients.length; index++) {
			if (gone.has(index)) continue;
			const key = clients.key(index);
			const listener = clients.listener(index);
			const exported = this.#exported.get(key);
			const other = others.get(listener);
			if (exported !== undefined) {
				const traffic = subtract(clients.traffic(index), exported.base);
				const name = names.get(listener) ?? otherListener;
				series.push({ client: clients.label(index), listener: name, sinceNs: exported.sinceNs, traffic });
				if (other !== undefined) addTo(other, exported.base);
			} else if (other !== undefined) {
				clients.add(index, other);
			}
		}
		const exportedCount = series.length;
		for (const record of records) {
			const listener = nameOf(record);
			const sinceNs = this.#startNs;
			series.push({ client: 'direct', listener, sinceNs, traffic: record.direct });
			series.push({ client: 'other', listener, sinceNs, traffic: others.get(record.key) ?? noTraffic });
		}
		const drops = { ...this.#source.drops(), ...this.#lost() };
		return Object.freeze({
			atMs: Date.now(),
			listeners: records.map(totalsOf),
			clients: series,
			clientsTracked: clients.length - gone.size,
			clientsCapacity: this.#source.clientsCapacity,
			clientsExported: exportedCount,
			clientsFolded: this.#source.clientsFolded(),
			clientsOverflowed: drops.clients_full ?? 0n,
			drops,
			maps: this.#source.maps(),
			programs: this.#source.programs(),
		});
	}
}

/** When a client was last heard of; now, while its entry is being made. */
function lastSignNs(clients: ClientTable, index: number, nowNs: bigint): bigint {
	const [created, active] = [clients.createdNs(index), clients.activeNs(index)];
	if (created === 0n) return nowNs;
	return active > created ? active : created;
}

function nameOf(record: ListenerRecord): string {
	return record.endpoint === undefined ? otherListener : formatEndpoint(record.endpoint);
}

function totalsOf(record: ListenerRecord): ListenerTotals {
	const { endpoint, total, folded, handshakes, options, accepts, rtt, duration, acceptWait } = record;
	return { listener: nameOf(record), endpoint, total, folded, handshakes, options, accepts, rtt, duration, acceptWait };
}
