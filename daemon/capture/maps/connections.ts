// SPDX-License-Identifier: Apache-2.0
/** Reads connections in the table of the kernel: those of a peer, and those that are open. */
import { setTimeout as delay } from 'node:timers/promises';
import { type BpfMap, type BpfObject, type EntriesRead, native } from '../../../native/binding.ts';
import type { Yield } from '../../event_loop.ts';
import { addressBytes, type Endpoint, formatAddress } from '../../model/address.ts';
import type { Connection } from '../../model/connection.ts';
import { type LookupQuery, type LookupResult, openAt } from '../../model/lookup.ts';
import type { OpenVisitor } from '../provider.ts';
import { connectionFlag, connectionLayout, endpointLayout, extraLayout } from '../records/layout.gen.ts';
import { type OtherParts, readConnection, readEndpoint, readVirtualServer, writeEndpoint } from '../records/records.ts';
import { ListenerEndpoints } from './listener_endpoints.ts';

/** The index is brought up to date for so long before yielding. */
const refreshNs = 2_000_000;
/** Connections that a lookup reads, and those of a client that it returns. */
const readMax = 1024;
const foundPerClient = 100;
/** Slots that are read before yielding: each takes a system call of about a microsecond. */
const slotsPerBatch = 2000;
/** A visitor that has no room is asked again after this time. */
const roomMs = 50;

interface FindOptions {
	/** Now, and how long closed connections are kept: CLOCK_MONOTONIC nanoseconds. */
	readonly nowNs: bigint;
	readonly retainNs: bigint;
	/** Adds the owner to a connection whose accept() was not observed. */
	readonly withOwner: (connection: Connection) => Connection;
	readonly containerOf: (connection: Connection) => string | undefined;
}

export class Connections {
	readonly #bpf: BpfObject;
	readonly #connections: BpfMap;
	readonly #extras: BpfMap;
	readonly #profileName: (id: number) => string | undefined;
	readonly #endpoint = Buffer.alloc(endpointLayout.size);
	/** The entries that a lookup has read. */
	readonly #entries = Buffer.alloc(readMax * connectionLayout.size);
	readonly #slot = Buffer.alloc(4);
	readonly #value = Buffer.alloc(connectionLayout.size);
	readonly #extra = Buffer.alloc(extraLayout.size);
	/** The latest pass over the index, and the one that begins when it has ended. */
	#pass: Promise<void> | undefined;
	#nextPass: Promise<void> | undefined;
	readonly #listeners: ListenerEndpoints;

	constructor(bpf: BpfObject, profileName: (id: number) => string | undefined) {
		this.#bpf = bpf;
		this.#connections = bpf.map('connections');
		this.#extras = bpf.map('extras');
		this.#listeners = new ListenerEndpoints(bpf);
		this.#profileName = profileName;
	}

	/**
	 * Brings the index up to date: lookups find every connection that opened before the call. Requests
	 * that arrive during a pass share the next one.
	 */
	refresh(yieldLoop: Yield): Promise<void> {
		const running = this.#pass;
		this.#nextPass ??= (async () => {
			// its failure is reported to those who wait for it
			await running?.catch(() => {});
			this.#pass = this.#nextPass;
			this.#nextPass = undefined;
			for (let block = 0; ; ) {
				block = this.#bpf.refreshIndex(block, refreshNs);
				if (block === 0) return;
				await yieldLoop();
			}
		})();
		return this.#nextPass;
	}

	/**
	 * Finds what a query names by its peer, or by its client if it has no peer, as of the last
	 * refresh(). Closed connections are ignored from `retainNs` after their close on. `containerOf`
	 * returns the container of the process that accepted a connection.
	 */
	find(query: LookupQuery, { nowNs, retainNs, withOwner, containerOf }: FindOptions): LookupResult {
		const { count, isCut } = this.#readEntries(query);
		const found: Connection[] = [];
		for (let at = 0; at < count * connectionLayout.size; at += connectionLayout.size) {
			const read = readConnection(this.#entries, at, this.#profileName, this.#readOtherParts(this.#entries, at));
			if (read === undefined || (read.closedNs !== undefined && read.closedNs + retainNs < nowNs)) continue;
			const connection = withOwner(read);
			if (matches(connection, query, containerOf)) found.push(connection);
		}
		found.sort((a, b) => (a.openedNs < b.openedNs ? 1 : a.openedNs > b.openedNs ? -1 : 0));
		const connections = openAt(found, query);
		if (query.peer !== undefined) return { connections, truncated: isCut };
		const truncated = isCut || connections.length > foundPerClient;
		return { connections: connections.slice(0, foundPerClient), truncated };
	}

	/** Reads the entries of the connections that can match. */
	#readEntries({ peer, client }: LookupQuery): EntriesRead {
		const { family, text, port } = peer ?? client ?? unnamed();
		writeEndpoint(this.#endpoint, 0, { family, address: addressBytes(family, text), port: port ?? 0 });
		if (peer !== undefined) return this.#bpf.connectionsOfPeer(this.#endpoint, this.#entries);
		return this.#bpf.connectionsOfClient(this.#endpoint, this.#entries);
	}

	/**
	 * Calls `visit` for each open connection for which `isWanted` returns true, given when it opened,
	 * with a time at which it was still open (CLOCK_MONOTONIC nanoseconds). Reads the whole table, and
	 * yields in between, for as long as `hasRoom` returns false.
	 */
	async eachOpen({ isWanted, visit, hasRoom }: OpenVisitor, yieldLoop: Yield): Promise<void> {
		const { maxEntries } = this.#connections;
		let nowNs = native().monotonicNs();
		for (let slot = 0; slot < maxEntries; slot++) {
			if (slot % slotsPerBatch === slotsPerBatch - 1) {
				await yieldLoop();
				nowNs = native().monotonicNs();
			}
			while (!hasRoom()) {
				await yieldLoop(delay(roomMs));
				nowNs = native().monotonicNs();
			}
			this.#slot.writeUInt32LE(slot);
			if (!this.#connections.lookup(this.#slot, this.#value)) continue;
			if (this.#value.readBigUInt64LE(connectionLayout.cookie) === 0n) continue;
			if (this.#value.readBigUInt64LE(connectionLayout.closedNs) !== 0n) continue;
			if (!isWanted(this.#value.readBigUInt64LE(connectionLayout.openedNs))) continue;
			const connection = readConnection(this.#value, 0, this.#profileName, this.#readOtherParts(this.#value, 0));
			if (connection !== undefined) visit(connection, nowNs);
		}
	}

	/** Reads the parts of a connection that are stored elsewhere. */
	#readOtherParts(entries: Buffer, at: number): OtherParts {
		const isExtra = (entries.readUInt16LE(at + connectionLayout.flags) & connectionFlag.CONN_EXTRA) !== 0;
		const cookieAt = at + connectionLayout.cookie;
		const extra = isExtra && this.#extras.lookup(entries.subarray(cookieAt, cookieAt + 8), this.#extra);
		const virtualServer = extra ? readVirtualServer(this.#extra, extraLayout.virtualServer) : undefined;
		const localAt = at + connectionLayout.local4;
		if (entries.readUInt32LE(localAt) !== 0) {
			const port = entries.readUInt16LE(at + connectionLayout.localPort);
			return {
				local: { family: 4, text: formatAddress(4, entries.subarray(localAt, localAt + 4)), port },
				virtualServer,
			};
		}
		return {
			local: extra ? readEndpoint(this.#extra, extraLayout.local) : this.#listeners.of(entries, at),
			virtualServer,
		};
	}
}

function unnamed(): never {
	throw new TypeError('the query names neither a peer nor a client');
}

function matches(connection: Connection, query: LookupQuery, containerOf: FindOptions['containerOf']): boolean {
	const { local, netns, client, peer, owner } = connection;
	if (query.netns !== undefined && query.netns !== netns) return false;
	if (query.local !== undefined && !isSame(query.local, local)) return false;
	if (query.client !== undefined) {
		if (client === undefined || client.family !== query.client.family || client.text !== query.client.text)
			return false;
		if (query.client.port !== undefined && query.client.port !== (client.port ?? peer.port)) return false;
	}
	if (query.pid !== undefined && query.pid !== owner?.pid) return false;
	return query.container === undefined || containerOf(connection) === query.container;
}

const isSame = (a: Endpoint, b: Endpoint) => a.port === b.port && a.family === b.family && a.text === b.text;
