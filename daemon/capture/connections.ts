// SPDX-License-Identifier: Apache-2.0
/** The table of connections in the kernel: who is behind a peer. */
import ipaddr from 'ipaddr.js';
import { formatAddress, formatEndpoint } from '../model/address.ts';
import type { Connection } from '../model/connection.ts';
import type { LookupQuery } from '../model/lookup.ts';
import { connectionFlag, connectionLayout, endpointLayout, extraLayout } from './layout.gen.ts';
import { ListenerEnds } from './listener_ends.ts';
import type { BpfObject } from './native.ts';
import { type Beside, readConnection, readEndpoint, readVirtualServer, writeEndpoint } from './records.ts';

export class Connections {
	readonly #bpf: BpfObject;
	readonly #profileName: (id: number) => string | undefined;
	readonly #peer = Buffer.alloc(endpointLayout.size);
	readonly #place = Buffer.alloc(4);
	readonly #value = Buffer.alloc(connectionLayout.size);
	readonly #extra = Buffer.alloc(extraLayout.size);
	readonly #listeners: ListenerEnds;

	constructor(bpf: BpfObject, profileName: (id: number) => string | undefined) {
		this.#bpf = bpf;
		this.#listeners = new ListenerEnds(bpf);
		this.#profileName = profileName;
	}

	/** All that match, newest first. Closed ones are forgotten `retainNs` after they closed. */
	find(question: LookupQuery, nowNs: bigint, retainNs: bigint): Connection[] {
		const { family, text, port } = question.peer;
		writeEndpoint(this.#peer, 0, { family, address: ipaddr.parse(text).toByteArray(), port });
		const found: Connection[] = [];
		for (const place of this.#bpf.findPeer(this.#peer)) {
			if (!this.#read(place)) continue;
			const connection = readConnection(this.#value, 0, this.#profileName, this.#beside());
			if (connection !== undefined && matches(connection, question, nowNs, retainNs)) found.push(connection);
		}
		return found.sort((a, b) => (a.openedNs < b.openedNs ? 1 : a.openedNs > b.openedNs ? -1 : 0));
	}

	/** False: the place has another peer's connection. */
	#read(place: number): boolean {
		this.#place.writeUInt32LE(place);
		this.#bpf.lookup('connections', this.#place, this.#value);
		const at = connectionLayout.peer;
		return this.#value.compare(this.#peer, 0, this.#peer.length, at, at + this.#peer.length) === 0;
	}

	/** What of the connection just read is elsewhere. */
	#beside(): Beside {
		const isExtra = (this.#value.readUInt16LE(connectionLayout.flags) & connectionFlag.CONN_EXTRA) !== 0;
		const cookie = this.#value.subarray(connectionLayout.cookie, connectionLayout.cookie + 8);
		const extra = isExtra && this.#bpf.lookup('extras', cookie, this.#extra);
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

function matches(connection: Connection, question: LookupQuery, nowNs: bigint, retainNs: bigint): boolean {
	const { openedNs, closedNs } = connection;
	if (closedNs !== undefined && closedNs + retainNs < nowNs) return false;
	if (question.netns !== undefined && question.netns !== connection.netns) return false;
	if (question.local !== undefined && formatEndpoint(question.local) !== formatEndpoint(connection.local)) return false;
	if (question.atNs === undefined) return true;
	return question.atNs.some((atNs) => openedNs <= atNs && (closedNs === undefined || atNs <= closedNs));
}
