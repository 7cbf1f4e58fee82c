// SPDX-License-Identifier: Apache-2.0
/** What the configured sizes make of the maps: how many entries each has, and what they take of the kernel's memory. */
import {
	clientKeyLayout,
	clientLayout,
	connectionLayout,
	exportedLayout,
	limit,
	listenerKeyLayout,
	listenerLayout,
	listenerSlotLayout,
} from './layout.gen.ts';

/** Keys of the configuration that size maps. */
export interface Sizes {
	readonly clients: { readonly capacity: number };
	readonly connections: { readonly max: number };
	readonly listeners: { readonly max: number };
	readonly bpf: { readonly ringBytes: number };
}

/** Slots that follow from the low bits of a number. */
const powerOfTwo = (least: number) => 2 ** Math.ceil(Math.log2(least));

/** Entries by map; of a ring buffer bytes. */
export function mapEntries({ clients, connections, listeners, bpf }: Sizes) {
	const slots = powerOfTwo(connections.max);
	return {
		listeners: listeners.max + 1,
		listener_keys: listeners.max + 1,
		listener_bases: listeners.max + 1,
		listener_places: listeners.max + 1,
		listener_since: listeners.max + 1,
		spare_listeners: listeners.max,
		clients: clients.capacity,
		exported: clients.capacity,
		// two rows, each of which few networks share a counter in (bpf/per_prefix.h)
		prefix_clients: 2 * powerOfTwo(2 * clients.capacity),
		connections: slots,
		peer_tags: Math.ceil(slots / limit.TAGS_IN_LINE),
		extras: slots,
		ring: bpf.ringBytes,
	};
}

export const sizeKeys = ['clients.capacity', 'connections.max', 'listeners.max', 'bpf.ring_bytes'] as const;

const round8 = (bytes: number) => Math.ceil(bytes / 8) * 8;
/** struct htab_elem, before key and value (kernel, kernel/bpf/hashtab.c), and of a bucket. */
const hashElement = 48;
const hashBucket = 16;
/** Values of arrays are rounded up to it. */
const arrayElement = 8;
/** Entries of `listener_guesses`. */
const ports = 65_536;

/** An entry of a hash map, with its bucket: their number is a power of two, so up to twice that of the entries. */
const inHash = (key: number, value: number) => hashElement + round8(key) + round8(value) + 1.5 * hashBucket;

/**
 * Rows of counters that each listener has, a power of two: processors that share one wait for its lock. Where listeners are many they have
 * fewer, since they seldom meet at one.
 */
export function listenerRows(listeners: number, cpus: number): number {
	const share = 2 ** Math.floor(Math.log2(Math.max(1, limit.LISTENER_ROWS_TOTAL / listeners)));
	return Math.min(powerOfTwo(cpus), share, limit.LISTENER_ROWS_MAX);
}

/**
 * Bytes of kernel memory by key, when all entries are in use; within a tenth or so of what the kernel says. `cpus`: possible ones,
 * by which listeners have rows.
 */
export function kernelMemory(sizes: Sizes, cpus: number): Readonly<Record<(typeof sizeKeys)[number], number>> {
	const entries = mapEntries(sizes);
	const rows = listenerRows(entries.listeners, cpus);
	const aListener = listenerLayout.size * (rows + 1) + listenerSlotLayout.size + 8;
	const inListenerHashes = inHash(listenerKeyLayout.size, 4) + inHash(listenerKeyLayout.size, 8);
	const aClient = inHash(clientKeyLayout.size, clientLayout.size) + inHash(clientKeyLayout.size, exportedLayout.size);
	const tag = 4;
	// and a bucket of `extras`, where few have an entry
	const aConnection = connectionLayout.size + tag + hashBucket;
	return {
		'clients.capacity': entries.clients * aClient + entries.prefix_clients * arrayElement,
		'connections.max': entries.connections * aConnection,
		'listeners.max': entries.listeners * (aListener + inListenerHashes) + ports * arrayElement,
		'bpf.ring_bytes': entries.ring,
	};
}
