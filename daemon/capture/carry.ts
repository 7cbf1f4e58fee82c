// SPDX-License-Identifier: Apache-2.0
/**
 * Counters of another layout of the records, carried over: each field by its name, as the kernel knows the types of the
 * pinned maps. Connections that were open are not: another layout's states cannot be gone on with, so they count as closed.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
	clientKeyLayout,
	clientLayout,
	drop,
	ledgerEntry,
	limit,
	listenerLayout,
	listenerSlotLayout,
	trafficLayout,
	verdict,
} from './layout.gen.ts';
import { type BpfObject, native, type PinnedMap } from './native.ts';
import { Converter, Table } from './record_converter.ts';

/** Without one of these the others make no sense. */
const counters = ['listener_places', 'listeners', 'clients', 'exported'] as const;
const others = ['drops', 'counted', 'unknown_options', 'listener_since', 'listener_bases'] as const;
/** Layouts before 6, or before 7, have none, and nothing is lost with it. */
const recent: readonly string[] = ['listener_since', 'listener_bases', 'counted'];
const isNew = (name: Carried, from: string) => recent.includes(name) && !existsSync(join(from, name));
type Carried = (typeof counters | typeof others)[number];

export interface CarriedOver {
	/** Connections that were open, and count as closed now. */
	readonly open: bigint;
	/** Fields and maps that this layout does not have, or has smaller. */
	readonly lost: readonly string[];
}

/** Why nothing was carried over. */
export class NotCarried extends Error {}

/** A map of the other layout, in this one's records. `lost` is added to. */
function convertMap(name: Carried, from: string, to: string, lost: string[]): Table {
	if (!existsSync(join(from, name))) throw new NotCarried(`${name}: missing`);
	const old: PinnedMap = native().pinnedMap(join(from, name));
	const own: PinnedMap = native().pinnedMap(join(to, name));
	if (old.value.length === 0 || old.key.length === 0)
		throw new NotCarried(`${name}: the kernel does not know its types`);
	const keys = new Converter(old.key, own.key, old.keySize, own.keySize);
	const values = new Converter(old.value, own.value, old.valueSize, own.valueSize);
	// keys that are cut, or would need what nobody knows, may be equal
	const [other] = [...keys.lost, ...keys.missing];
	if (other !== undefined) throw new NotCarried(`${name}: other keys (${other.name || 'size'})`);
	lost.push(...values.lost.map((field) => `${name}.${field.name}`));
	// of listeners, places that nobody has had do not count
	if (name !== 'listeners' && name !== 'listener_bases' && old.entries > own.maxEntries) {
		throw new NotCarried(`${name}: ${old.entries} entries, room for ${own.maxEntries}`);
	}
	return new Table(keys.convert(old.keys), values.convert(old.values), own);
}

/** Offsets. */
const words = Object.entries(trafficLayout).flatMap(([name, offset]) => (name === 'size' ? [] : [offset]));

function addTraffic(to: Buffer, toAt: number, from: Buffer, fromAt: number, sign: 1n | -1n = 1n): void {
	for (const offset of words) {
		const sum = to.readBigUInt64LE(toAt + offset) + sign * from.readBigUInt64LE(fromAt + offset);
		to.writeBigUInt64LE(sum > 0n ? sum : 0n, toAt + offset);
	}
}

/** What is open is closed. */
function closeAll(bytes: Buffer, at: number): void {
	bytes.copy(bytes, at + trafficLayout.closed, at + trafficLayout.opened, at + trafficLayout.opened + 8);
}

const openOf = (bytes: Buffer, at: number) =>
	bytes.readBigUInt64LE(at + trafficLayout.opened) - bytes.readBigUInt64LE(at + trafficLayout.closed);

/** Settles for a listener what its clients were not told yet, and closes what is open. Returns how many that were. */
function settle(listener: Buffer, clients: Buffer): bigint {
	const { total, direct, overflow, folded, unshown, handshakes } = listenerLayout;
	const open = openOf(listener, total);
	// connections without a verdict are in the total alone: without TOA, as the reaper has it
	const pending = Buffer.alloc(trafficLayout.size);
	addTraffic(pending, 0, listener, total);
	for (const part of [direct, overflow, folded, unshown]) addTraffic(pending, 0, listener, part, -1n);
	addTraffic(pending, 0, clients, 0, -1n);
	addTraffic(listener, direct, pending, 0);
	const none = handshakes + 8 * verdict.VERDICT_NONE;
	listener.writeBigUInt64LE(listener.readBigUInt64LE(none) + pending.readBigUInt64LE(trafficLayout.opened), none);
	for (const part of [total, direct, overflow]) closeAll(listener, part);
	return open;
}

/** What a listener before had counted at a place is that of "other" (listener_bases.ts); there are no bases from then on. */
function subtractBases(listeners: ReadonlyMap<number, Buffer>, bases: Table): void {
	const other = listeners.get(limit.OTHER_LISTENER);
	for (const { key, value } of bases) {
		const listener = listeners.get(key.readUInt32LE());
		for (let at = 0; at < value.length; at += 8) {
			const base = value.readBigUInt64LE(at);
			if (base === 0n || listener === undefined || other === undefined) continue;
			listener.writeBigUInt64LE(listener.readBigUInt64LE(at) - base, at);
			other.writeBigUInt64LE(other.readBigUInt64LE(at) + base, at);
		}
	}
}

/** How many entries of `listeners` each listener has; layouts before 7 have one for each CPU, which is read as their sum. */
function rowsOf(from: string): number {
	const keys = join(from, 'listener_keys');
	if (!existsSync(keys)) return 1;
	return Math.max(1, native().pinnedMap(join(from, 'listeners')).maxEntries / native().pinnedMap(keys).maxEntries);
}

/** The listeners' counters by their slots. */
function sumRows(listeners: Table, rows: number): Map<number, Buffer> {
	const sums = new Map<number, Buffer>();
	for (const { key, value } of listeners) {
		const slot = Math.floor(key.readUInt32LE() / rows);
		const sum = sums.get(slot);
		if (sum === undefined) sums.set(slot, value);
		else {
			for (let at = 0; at < value.length; at += 8) {
				sum.writeBigUInt64LE(sum.readBigUInt64LE(at) + value.readBigUInt64LE(at), at);
			}
		}
	}
	return sums;
}

/** struct listener_slot of a listener in service. */
function listenerSlot(key: Buffer, activeNs: bigint): Buffer {
	const slot = Buffer.alloc(listenerSlotLayout.size);
	key.copy(slot, listenerSlotLayout.key);
	slot.writeBigUInt64LE(activeNs, listenerSlotLayout.activeNs);
	return slot;
}

function word(value: number): Buffer {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32LE(value);
	return bytes;
}

function put(bpf: BpfObject, map: string, key: Buffer, value: Buffer): void {
	if (!bpf.update(map, key, value)) throw new Error(`${map} has no room for what is carried over`);
}

function putAll(bpf: BpfObject, map: string, { keys, values, length }: Table): void {
	if (length > 0) bpf.updateAll(map, keys, values);
}

/** A number that outlives daemons (enum ledger_entry), of a map of any layout. */
export function ledgerOf(maps: string, entry: number): bigint {
	const path = join(maps, 'ledger');
	if (!existsSync(path)) return 0n;
	const { valueSize, values } = native().pinnedMap(path);
	return valueSize === 8 && values.length >= 8 * (entry + 1) ? values.readBigUInt64LE(8 * entry) : 0n;
}

/**
 * Fills the maps of an object whose programs are not attached yet from those of another layout, whose programs are not
 * attached any more. `from`, `to`: directories of pinned maps.
 * @throws {NotCarried} with the reason; what has been written is of no use then
 */
export function carryOver(bpf: BpfObject, from: string, to: string): CarriedOver {
	const lost: string[] = [];
	const tables = new Map<Carried, Table>();
	for (const name of counters) tables.set(name, convertMap(name, from, to, lost));
	for (const name of others.filter((one) => !isNew(one, from))) {
		try {
			tables.set(name, convertMap(name, from, to, lost));
		} catch (error) {
			if (!(error instanceof NotCarried)) throw error;
			lost.push(name);
		}
	}
	const of = (name: Carried) =>
		tables.get(name) ?? new Table(Buffer.alloc(0), Buffer.alloc(0), { keySize: 1, valueSize: 1 });

	const byListener = new Map<string, Buffer>();
	const clients = of('clients');
	const tags = native().clientTags(clients.keys);
	for (const { index, key, value } of clients) {
		const listener = key.toString('latin1', clientKeyLayout.listener);
		let sum = byListener.get(listener);
		if (sum === undefined) {
			sum = Buffer.alloc(trafficLayout.size);
			byListener.set(listener, sum);
		}
		addTraffic(sum, 0, value, clientLayout.traffic);
		closeAll(value, clientLayout.traffic);
		value.writeBigUInt64LE(tags[index] ?? 0n, clientLayout.tag);
		// of the other layout's counters; the first collection counts each client for its prefix
		value.writeBigUInt64LE(0n, clientLayout.prefixSlot);
	}
	putAll(bpf, 'clients', clients);

	const since = of('listener_since');
	const begun = new Set([...since].map(({ key }) => key.toString('latin1')));
	putAll(bpf, 'listener_since', since);

	let open = 0n;
	const nowNs = native().monotonicNs();
	let next: number = limit.OTHER_LISTENER;
	const ofPlace = sumRows(of('listeners'), rowsOf(from));
	subtractBases(ofPlace, of('listener_bases'));
	for (const { key, value } of of('listener_places')) {
		const before = value.readUInt32LE();
		const place = before === limit.OTHER_LISTENER ? before : ++next;
		const listener = ofPlace.get(before);
		if (listener === undefined) throw new Error(`the listeners' place ${before} is missing`);
		open += settle(listener, byListener.get(key.toString('latin1')) ?? Buffer.alloc(trafficLayout.size));
		put(bpf, 'listeners', word(place), listener);
		put(bpf, 'listener_keys', word(place), listenerSlot(key, nowNs));
		put(bpf, 'listener_places', key, word(place));
		// nothing says when it began
		if (!begun.has(key.toString('latin1'))) put(bpf, 'listener_since', key, Buffer.alloc(8));
	}
	// struct fresh_slots: a lock, and how many slots are taken
	put(bpf, 'fresh_listeners', word(0), Buffer.concat([word(0), word(next)]));

	putAll(bpf, 'exported', of('exported'));
	putAll(bpf, 'unknown_options', of('unknown_options'));
	for (const { key, value } of of('drops')) {
		if (key.readUInt32LE() === drop.DROP_CLOSE_UNHEARD) value.writeBigUInt64LE(value.readBigUInt64LE() + open);
		put(bpf, 'drops', key, value);
	}
	for (const { key, value } of of('counted')) put(bpf, 'counted', key, value);
	for (const entry of [
		ledgerEntry.LEDGER_CLASSIFIED_NS,
		ledgerEntry.LEDGER_FOLDED,
		ledgerEntry.LEDGER_LISTENERS_FOLDED,
	]) {
		const number = Buffer.alloc(8);
		number.writeBigUInt64LE(ledgerOf(from, entry));
		put(bpf, 'ledger', word(entry), number);
	}
	return { open, lost };
}
