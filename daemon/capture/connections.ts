// SPDX-License-Identifier: Apache-2.0
/** The table of connections in the kernel: who is behind a peer. */
import ipaddr from 'ipaddr.js';
import { formatEndpoint } from '../model/address.ts';
import type { Connection } from '../model/connection.ts';
import type { LookupQuery } from '../model/lookup.ts';
import { connectionLayout, endpointLayout } from './layout.gen.ts';
import type { BpfObject } from './native.ts';
import { readConnection, writeEndpoint } from './records.ts';

export class Connections {
	readonly #bpf: BpfObject;
	readonly #profileName: (id: number) => string | undefined;
	readonly #peer = Buffer.alloc(endpointLayout.size);
	readonly #place = Buffer.alloc(4);
	readonly #value = Buffer.alloc(connectionLayout.size);
	readonly #again = Buffer.alloc(connectionLayout.size);

	constructor(bpf: BpfObject, profileName: (id: number) => string | undefined) {
		this.#bpf = bpf;
		this.#profileName = profileName;
	}

	/** All that match, newest first. Closed ones are forgotten `retainNs` after they closed. */
	find(question: LookupQuery, nowNs: bigint, retainNs: bigint): Connection[] {
		const { family, text, port } = question.peer;
		writeEndpoint(this.#peer, 0, { family, address: ipaddr.parse(text).toByteArray(), port });
		const found: Connection[] = [];
		for (const place of this.#bpf.findPeer(this.#peer)) {
			if (!this.#read(place)) continue;
			const connection = readConnection(this.#value, 0, this.#profileName);
			if (connection !== undefined && matches(connection, question, nowNs, retainNs)) found.push(connection);
		}
		return found.sort((a, b) => (a.openedNs < b.openedNs ? 1 : a.openedNs > b.openedNs ? -1 : 0));
	}

	/** False: the place has another peer's connection. */
	#read(place: number): boolean {
		this.#place.writeUInt32LE(place);
		const cookie = (into: Buffer) => {
			this.#bpf.lookup('connections', this.#place, into);
			return into.readBigUInt64LE(connectionLayout.cookie);
		};
		// a place may be taken by another connection while it is read: what was read is whole where the cookie, which a
		// new connection clears first, still stands there after
		let read = cookie(this.#value);
		while (read !== cookie(this.#again)) read = cookie(this.#value);
		const at = connectionLayout.peer;
		return read !== 0n && this.#value.compare(this.#peer, 0, this.#peer.length, at, at + this.#peer.length) === 0;
	}
}

function matches(connection: Connection, question: LookupQuery, nowNs: bigint, retainNs: bigint): boolean {
	const { openedNs, closedNs } = connection;
	if (closedNs !== undefined && closedNs + retainNs < nowNs) return false;
	if (question.netns !== undefined && question.netns !== connection.netns) return false;
	if (question.local !== undefined && formatEndpoint(question.local) !== formatEndpoint(connection.local)) return false;
	if (question.atNs === undefined) return true;
	return question.atNs.some((atNs) => openedNs <= atNs && (closedNs === undefined || atNs <= closedNs));
}
