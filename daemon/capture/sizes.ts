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

/** Entries by map; of a ring buffer bytes. */
export function mapEntries({ clients, connections, listeners, bpf }: Sizes) {
	return {
		listeners: listeners.max + 1,
		listener_keys: listeners.max + 1,
		listener_bases: listeners.max + 1,
		listener_places: listeners.max + 1,
		listener_since: listeners.max + 1,
		spare_listeners: listeners.max,
		clients: clients.capacity,
		exported: clients.capacity,
		connections: connections.max,
		peer_tags: Math.ceil(connections.max / limit.TAGS_IN_LINE),
		closed_queue: connections.max,
		unaccepted: connections.max,
		ring: bpf.ringBytes,
	};
}

export const sizeKeys = ['clients.capacity', 'connections.max', 'listeners.max', 'bpf.ring_bytes'] as const;

const round8 = (bytes: number) => Math.ceil(bytes / 8) * 8;
/** struct htab_elem, before key and value (kernel, kernel/bpf/hashtab.c), and of a bucket. */
const hashElement = 48;
const hashBucket = 16;

/** An entry of a hash map, with its bucket: their number is a power of two, so up to twice that of the entries. */
const inHash = (key: number, value: number) => hashElement + round8(key) + round8(value) + 1.5 * hashBucket;

/**
 * Bytes of kernel memory by key, when all entries are in use; within a tenth or so of what the kernel says. `cpus`: possible ones,
 * each of which has its own counters of listeners. `tracingLocks`: tracing programs take locks, so that `unaccepted` is not made.
 */
export function kernelMemory(
	sizes: Sizes,
	cpus: number,
	tracingLocks: boolean,
): Readonly<Record<(typeof sizeKeys)[number], number>> {
	const entries = mapEntries(sizes);
	const aListener = listenerLayout.size * (cpus + 1) + listenerSlotLayout.size + 8;
	const inListenerHashes = inHash(listenerKeyLayout.size, 4) + inHash(listenerKeyLayout.size, 8);
	const aClient = inHash(clientKeyLayout.size, clientLayout.size) + inHash(clientKeyLayout.size, exportedLayout.size);
	// its tag, and its place in the queue of closed connections
	const aConnection = connectionLayout.size + 4 + 4 + (tracingLocks ? 0 : inHash(8, 16));
	return {
		'clients.capacity': entries.clients * aClient,
		'connections.max': entries.connections * aConnection,
		'listeners.max': entries.listeners * (aListener + inListenerHashes),
		'bpf.ring_bytes': entries.ring,
	};
}
