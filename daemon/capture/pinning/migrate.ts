// SPDX-License-Identifier: Apache-2.0
/**
 * Migrates the counters of another layout of the records: each field by its name, since the kernel
 * knows the types of the pinned maps. Open connections are not migrated: this layout cannot
 * continue another layout's states, so they count as closed.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type BpfObject, native, type PinnedMap } from '../../../native/binding.ts';
import {
	clientKeyLayout,
	clientLayout,
	constant,
	drop,
	listenerLayout,
	listenerSlotLayout,
	metaEntry,
	toaVerdict,
	trafficLayout,
} from '../records/layout.gen.ts';
import { Converter, Table } from '../records/record_converter.ts';
import { u32 } from '../records/records.ts';

/** Required: without one of these the others are meaningless. */
const counters = ['listener_index', 'listeners', 'clients', 'exported'] as const;
const others = ['drops', 'counted', 'unknown_options', 'listener_since', 'listener_bases'] as const;
/** Missing in layouts before 6, or before 7, where no counts are lost with them. */
const optionalMaps: readonly string[] = ['listener_since', 'listener_bases', 'counted'];
const isAbsent = (name: MigratedMap, from: string) => optionalMaps.includes(name) && !existsSync(pinOf(name, from));
/** The names of maps in layouts before 8. */
const oldNames: Readonly<Record<string, string>> = { listener_index: 'listener_places', meta: 'ledger' };

/** The path of a map's pin in the directory of any layout. */
function pinOf(name: string, maps: string): string {
	const pin = join(maps, name);
	return existsSync(pin) ? pin : join(maps, oldNames[name] ?? name);
}

type MigratedMap = (typeof counters | typeof others)[number];

export interface MigrationResult {
	/** Connections that were open and count as closed now. */
	readonly open: bigint;
	/** Fields and maps that this layout lacks, or has with a smaller size. */
	readonly lost: readonly string[];
}

/** The reason why nothing was migrated. */
export class NotMigrated extends Error {}

/**
 * Converts a map of the other layout to the records of this one. Adds the fields that are lost to
 * `lost`.
 */
function convertMap(name: MigratedMap, from: string, to: string, lost: string[]): Table {
	const pin = pinOf(name, from);
	if (!existsSync(pin)) throw new NotMigrated(`${name}: missing`);
	const old: PinnedMap = native().pinnedMap(pin);
	const own: PinnedMap = native().pinnedMap(join(to, name));
	if (old.value.length === 0 || old.key.length === 0)
		throw new NotMigrated(`${name}: the kernel does not know its types`);
	const keys = new Converter(old.key, own.key, old.keySize, own.keySize);
	const values = new Converter(old.value, own.value, old.valueSize, own.valueSize);
	// truncated keys, and keys with a field that the other layout lacks, could become equal
	const [other] = [...keys.lost, ...keys.missing];
	if (other !== undefined) throw new NotMigrated(`${name}: different keys (${other.name || 'size'})`);
	lost.push(...values.lost.map((field) => `${name}.${field.name}`));
	// listener slots that were never used do not count
	if (name !== 'listeners' && name !== 'listener_bases' && old.entries > own.maxEntries) {
		throw new NotMigrated(`${name}: ${old.entries} entries, room for ${own.maxEntries}`);
	}
	return new Table(keys.convert(old.keys), values.convert(old.values), own);
}

/** The offsets of the 64-bit fields of struct traffic. */
const trafficOffsets = Object.entries(trafficLayout).flatMap(([name, offset]) => (name === 'size' ? [] : [offset]));

function addTraffic(to: Buffer, toAt: number, from: Buffer, fromAt: number, sign: 1n | -1n = 1n): void {
	for (const offset of trafficOffsets) {
		const sum = to.readBigUInt64LE(toAt + offset) + sign * from.readBigUInt64LE(fromAt + offset);
		to.writeBigUInt64LE(sum > 0n ? sum : 0n, toAt + offset);
	}
}

/** Counts open connections as closed. */
function closeAll(bytes: Buffer, at: number): void {
	bytes.copy(bytes, at + trafficLayout.closed, at + trafficLayout.opened, at + trafficLayout.opened + 8);
}

const openOf = (bytes: Buffer, at: number) =>
	bytes.readBigUInt64LE(at + trafficLayout.opened) - bytes.readBigUInt64LE(at + trafficLayout.closed);

/**
 * Counts connections without a verdict for a listener as without TOA, and closes what is open.
 * Returns how many connections were open.
 */
function closeOpen(listener: Buffer, clients: Buffer): bigint {
	const { total, direct, overflow, folded, unexported, handshakes } = listenerLayout;
	const open = openOf(listener, total);
	// connections without a verdict are only in the total: count them as without TOA, as
	// decide_without_option() does at a close
	const pending = Buffer.alloc(trafficLayout.size);
	addTraffic(pending, 0, listener, total);
	for (const part of [direct, overflow, folded, unexported]) addTraffic(pending, 0, listener, part, -1n);
	addTraffic(pending, 0, clients, 0, -1n);
	addTraffic(listener, direct, pending, 0);
	const none = handshakes + 8 * toaVerdict.TOA_VERDICT_NONE;
	listener.writeBigUInt64LE(listener.readBigUInt64LE(none) + pending.readBigUInt64LE(trafficLayout.opened), none);
	for (const part of [total, direct, overflow]) closeAll(listener, part);
	return open;
}

/**
 * Moves what earlier listeners of a slot had counted to "other" (listener_bases.ts); there are no
 * bases from then on.
 */
function subtractBases(listeners: ReadonlyMap<number, Buffer>, bases: Table): void {
	const other = listeners.get(constant.OTHER_LISTENER);
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

/**
 * The number of entries of `listeners` for each listener. Layouts before 7 have one for each CPU,
 * which is read as their sum.
 */
function rowsOf(from: string): number {
	const keys = join(from, 'listener_keys');
	if (!existsSync(keys)) return 1;
	return Math.max(1, native().pinnedMap(join(from, 'listeners')).maxEntries / native().pinnedMap(keys).maxEntries);
}

/** The counters of the listeners by slot, summed over their rows. */
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

/** Encodes struct listener_slot of a listener in service. */
function listenerSlot(key: Buffer, activeNs: bigint): Buffer {
	const slot = Buffer.alloc(listenerSlotLayout.size);
	key.copy(slot, listenerSlotLayout.key);
	slot.writeBigUInt64LE(activeNs, listenerSlotLayout.activeNs);
	return slot;
}

function put(bpf: BpfObject, map: string, key: Buffer, value: Buffer): void {
	if (!bpf.map(map).update(key, value)) throw new Error(`${map} has no room for the migrated counters`);
}

function putAll(bpf: BpfObject, map: string, { keys, values, length }: Table): void {
	if (length > 0) bpf.map(map).updateAll(keys, values);
}

/** Reads a number that outlives daemons (enum meta_entry) from the pinned map of any layout. */
export function metaOf(maps: string, entry: number): bigint {
	const path = pinOf('meta', maps);
	if (!existsSync(path)) return 0n;
	const { valueSize, values } = native().pinnedMap(path);
	return valueSize === 8 && values.length >= 8 * (entry + 1) ? values.readBigUInt64LE(8 * entry) : 0n;
}

/**
 * Fills the maps of an object whose programs are not attached yet from those of another layout,
 * whose programs are no longer attached. `from`, `to`: directories of pinned maps.
 * @throws {NotMigrated} with the reason, before anything is written
 */
export function migrate(bpf: BpfObject, from: string, to: string): MigrationResult {
	const lost: string[] = [];
	const tables = new Map<MigratedMap, Table>();
	for (const name of counters) tables.set(name, convertMap(name, from, to, lost));
	for (const name of others.filter((one) => !isAbsent(one, from))) {
		try {
			tables.set(name, convertMap(name, from, to, lost));
		} catch (error) {
			if (!(error instanceof NotMigrated)) throw error;
			lost.push(name);
		}
	}
	const of = (name: MigratedMap) =>
		tables.get(name) ?? new Table(Buffer.alloc(0), Buffer.alloc(0), { keySize: 1, valueSize: 1 });

	const byListener = new Map<string, Buffer>();
	const clients = of('clients');
	const generations = native().clientGenerations(clients.keys);
	for (const { index, key, value } of clients) {
		const listener = key.toString('latin1', clientKeyLayout.listener);
		let sum = byListener.get(listener);
		if (sum === undefined) {
			sum = Buffer.alloc(trafficLayout.size);
			byListener.set(listener, sum);
		}
		addTraffic(sum, 0, value, clientLayout.traffic);
		closeAll(value, clientLayout.traffic);
		value.writeBigUInt64LE(generations[index] ?? 0n, clientLayout.generation);
		// it refers to the other layout's counters; the first collection counts each client for its
		// prefix again
		value.writeBigUInt64LE(0n, clientLayout.prefixSlot);
	}
	putAll(bpf, 'clients', clients);

	const since = of('listener_since');
	const withStart = new Set([...since].map(({ key }) => key.toString('latin1')));
	putAll(bpf, 'listener_since', since);

	let open = 0n;
	const nowNs = native().monotonicNs();
	let next: number = constant.OTHER_LISTENER;
	const bySlot = sumRows(of('listeners'), rowsOf(from));
	subtractBases(bySlot, of('listener_bases'));
	for (const { key, value } of of('listener_index')) {
		const oldSlot = value.readUInt32LE();
		const slot = oldSlot === constant.OTHER_LISTENER ? oldSlot : ++next;
		const listener = bySlot.get(oldSlot);
		if (listener === undefined) throw new Error(`the listener slot ${oldSlot} is missing`);
		open += closeOpen(listener, byListener.get(key.toString('latin1')) ?? Buffer.alloc(trafficLayout.size));
		put(bpf, 'listeners', u32(slot), listener);
		put(bpf, 'listener_keys', u32(slot), listenerSlot(key, nowNs));
		put(bpf, 'listener_index', key, u32(slot));
		// its start is unknown
		if (!withStart.has(key.toString('latin1'))) put(bpf, 'listener_since', key, Buffer.alloc(8));
	}
	// struct fresh_slots: a lock, and the number of slots in use
	put(bpf, 'fresh_listeners', u32(0), Buffer.concat([u32(0), u32(next)]));

	putAll(bpf, 'exported', of('exported'));
	putAll(bpf, 'unknown_options', of('unknown_options'));
	for (const { key, value } of of('drops')) {
		if (key.readUInt32LE() === drop.DROP_CLOSE_UNHEARD) value.writeBigUInt64LE(value.readBigUInt64LE() + open);
		put(bpf, 'drops', key, value);
	}
	for (const { key, value } of of('counted')) put(bpf, 'counted', key, value);
	const { META_CLASSIFIED_NS, META_FOLDED, META_LISTENERS_FOLDED, META_SINCE_NS } = metaEntry;
	for (const entry of [META_CLASSIFIED_NS, META_FOLDED, META_LISTENERS_FOLDED, META_SINCE_NS]) {
		const number = Buffer.alloc(8);
		number.writeBigUInt64LE(metaOf(from, entry));
		put(bpf, 'meta', u32(entry), number);
	}
	return { open, lost };
}
