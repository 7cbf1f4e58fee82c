// SPDX-License-Identifier: Apache-2.0
/** Reads connections in the table of the kernel: those of a peer, and those that are open. */
import { setTimeout as delay } from 'node:timers/promises';
import ipaddr from 'ipaddr.js';
import { type BpfMap, type BpfObject, native } from '../../../native/binding.ts';
import type { Yield } from '../../event_loop.ts';
import { formatAddress, formatEndpoint } from '../../model/address.ts';
import type { Connection } from '../../model/connection.ts';
import type { LookupQuery } from '../../model/lookup.ts';
import type { OpenVisitor } from '../provider.ts';
import { connectionFlag, connectionLayout, endpointLayout, extraLayout } from '../records/layout.gen.ts';
import { type OtherParts, readConnection, readEndpoint, readVirtualServer, writeEndpoint } from '../records/records.ts';
import { ListenerEndpoints } from './listener_endpoints.ts';

/** Slots that are read before yielding: each takes a system call of about a microsecond. */
const slotsPerBatch = 2000;
/** A visitor that has no room is asked again after this time. */
const roomMs = 50;

export class Connections {
	readonly #bpf: BpfObject;
	readonly #connections: BpfMap;
	readonly #extras: BpfMap;
	readonly #profileName: (id: number) => string | undefined;
	readonly #peer = Buffer.alloc(endpointLayout.size);
	readonly #slot = Buffer.alloc(4);
	readonly #value = Buffer.alloc(connectionLayout.size);
	readonly #extra = Buffer.alloc(extraLayout.size);
	readonly #listeners: ListenerEndpoints;

	constructor(bpf: BpfObject, profileName: (id: number) => string | undefined) {
		this.#bpf = bpf;
		this.#connections = bpf.map('connections');
		this.#extras = bpf.map('extras');
		this.#listeners = new ListenerEndpoints(bpf);
		this.#profileName = profileName;
	}

	/**
	 * Returns all connections that match, newest first. Closed ones are ignored from `retainNs`
	 * after their close on.
	 */
	find(query: LookupQuery, nowNs: bigint, retainNs: bigint): Connection[] {
		const { family, text, port } = query.peer;
		writeEndpoint(this.#peer, 0, { family, address: ipaddr.parse(text).toByteArray(), port });
		const found: Connection[] = [];
		for (const slot of this.#bpf.findPeer(this.#peer)) {
			if (!this.#read(slot)) continue;
			const connection = readConnection(this.#value, 0, this.#profileName, this.#readOtherParts());
			if (connection !== undefined && matches(connection, query, nowNs, retainNs)) found.push(connection);
		}
		return found.sort((a, b) => (a.openedNs < b.openedNs ? 1 : a.openedNs > b.openedNs ? -1 : 0));
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
			const connection = readConnection(this.#value, 0, this.#profileName, this.#readOtherParts());
			if (connection !== undefined) visit(connection, nowNs);
		}
	}

	/** False: the slot has a connection of another peer. */
	#read(slot: number): boolean {
		this.#slot.writeUInt32LE(slot);
		this.#connections.lookup(this.#slot, this.#value);
		const at = connectionLayout.peer;
		return this.#value.compare(this.#peer, 0, this.#peer.length, at, at + this.#peer.length) === 0;
	}

	/** Reads the parts of the current connection that are stored elsewhere. */
	#readOtherParts(): OtherParts {
		const isExtra = (this.#value.readUInt16LE(connectionLayout.flags) & connectionFlag.CONN_EXTRA) !== 0;
		const cookie = this.#value.subarray(connectionLayout.cookie, connectionLayout.cookie + 8);
		const extra = isExtra && this.#extras.lookup(cookie, this.#extra);
		const virtualServer = extra ? readVirtualServer(this.#extra, extraLayout.virtualServer) : undefined;
		const local4 = this.#value.subarray(connectionLayout.local4, connectionLayout.local4 + 4);
		if (local4.some((byte) => byte !== 0)) {
			const port = this.#value.readUInt16LE(connectionLayout.localPort);
			return { local: { family: 4, text: formatAddress(4, local4), port }, virtualServer };
		}
		return {
			local: extra ? readEndpoint(this.#extra, extraLayout.local) : this.#listeners.of(this.#value),
			virtualServer,
		};
	}
}

function matches(connection: Connection, query: LookupQuery, nowNs: bigint, retainNs: bigint): boolean {
	const { openedNs, closedNs } = connection;
	if (closedNs !== undefined && closedNs + retainNs < nowNs) return false;
	if (query.netns !== undefined && query.netns !== connection.netns) return false;
	if (query.local !== undefined && formatEndpoint(query.local) !== formatEndpoint(connection.local)) return false;
	if (query.atNs === undefined) return true;
	return query.atNs.some((atNs) => openedNs <= atNs && (closedNs === undefined || atNs <= closedNs));
}
