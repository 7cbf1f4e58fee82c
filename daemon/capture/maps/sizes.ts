// SPDX-License-Identifier: Apache-2.0
/**
 * Computes from the configured sizes how many entries each map has, and how much kernel memory the
 * maps use.
 */
import {
	clientKeyLayout,
	clientLayout,
	connectionLayout,
	constant,
	exportedLayout,
	listenerKeyLayout,
	listenerLayout,
	listenerSlotLayout,
} from '../records/layout.gen.ts';

/** The configuration keys that size maps. */
export interface Sizes {
	readonly clients: { readonly capacity: number };
	readonly connections: { readonly max: number };
	readonly listeners: { readonly max: number };
	readonly bpf: { readonly ringBytes: number };
}

/** Rounds up to a power of two, for tables whose slot is the low bits of a number. */
const powerOfTwo = (min: number) => 2 ** Math.ceil(Math.log2(min));

/** Returns the entries of each map; for the ring buffer, bytes. */
export function mapEntries({ clients, connections, listeners, bpf }: Sizes) {
	const slots = powerOfTwo(connections.max);
	return {
		listeners: listeners.max + 1,
		listener_keys: listeners.max + 1,
		listener_bases: listeners.max + 1,
		listener_index: listeners.max + 1,
		listener_since: listeners.max + 1,
		spare_listeners: listeners.max,
		clients: clients.capacity,
		exported: clients.capacity,
		// two rows; in each, few networks share a counter (bpf/per_prefix.h)
		prefix_clients: 2 * powerOfTwo(2 * clients.capacity),
		connections: slots,
		slot_hashes: Math.ceil(slots / constant.HASHES_PER_LINE),
		change_marks: Math.ceil(slots / constant.SLOTS_PER_BLOCK),
		extras: slots,
		ring: bpf.ringBytes,
	};
}

export const sizeKeys = ['clients.capacity', 'connections.max', 'listeners.max', 'bpf.ring_bytes'] as const;

const round8 = (bytes: number) => Math.ceil(bytes / 8) * 8;
/**
 * The bytes of struct htab_elem before key and value (kernel/bpf/hashtab.c), and those of a bucket.
 */
const hashElement = 48;
const hashBucket = 16;
/** Values of arrays are rounded up to this many bytes. */
const arrayElement = 8;
/** The entries of `listener_guesses`. */
const ports = 65_536;

/**
 * The bytes of an entry of a hash map, with its buckets: their number is a power of two, up to
 * twice the number of entries.
 */
const inHash = (key: number, value: number) => hashElement + round8(key) + round8(value) + 1.5 * hashBucket;

/**
 * Returns the rows of counters that each listener has, a power of two. CPUs that share a row wait
 * for its lock. With many listeners each has fewer rows, because CPUs then seldom contend for the
 * same listener.
 */
export function listenerRows(listeners: number, cpus: number): number {
	const share = 2 ** Math.floor(Math.log2(Math.max(1, constant.LISTENER_ROWS_TOTAL / listeners)));
	return Math.min(powerOfTwo(cpus), share, constant.LISTENER_ROWS_MAX);
}

/**
 * Returns the bytes of kernel memory by key, with all entries in use, to within about a tenth of
 * what the kernel reports. `cpus`: the possible CPUs, which determine the rows of listeners.
 */
export function kernelMemory(sizes: Sizes, cpus: number): Readonly<Record<(typeof sizeKeys)[number], number>> {
	const entries = mapEntries(sizes);
	const rows = listenerRows(entries.listeners, cpus);
	const bytesPerListener = listenerLayout.size * (rows + 1) + listenerSlotLayout.size + 8;
	const inListenerHashes = inHash(listenerKeyLayout.size, 4) + inHash(listenerKeyLayout.size, 8);
	const bytesPerClient =
		inHash(clientKeyLayout.size, clientLayout.size) + inHash(clientKeyLayout.size, exportedLayout.size);
	// of the peer and of the client; a change mark has less than a bit
	const hashes = 8;
	// includes a bucket of `extras`, where few connections have an entry
	const bytesPerConnection = connectionLayout.size + hashes + hashBucket;
	return {
		'clients.capacity': entries.clients * bytesPerClient + entries.prefix_clients * arrayElement,
		'connections.max': entries.connections * bytesPerConnection,
		'listeners.max': entries.listeners * (bytesPerListener + inListenerHashes) + ports * arrayElement,
		'bpf.ring_bytes': entries.ring,
	};
}
