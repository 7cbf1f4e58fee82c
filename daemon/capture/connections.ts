// SPDX-License-Identifier: Apache-2.0
/** The table of connections in the kernel: who is behind a peer. */
import ipaddr from 'ipaddr.js';
import { formatEndpoint } from '../model/address.ts';
import type { Connection } from '../model/connection.ts';
import type { LookupQuery } from '../model/lookup.ts';
import { connectionKeyLayout, connectionLayout, endpointLayout, limit } from './layout.gen.ts';
import type { BpfObject } from './native.ts';
import { readConnection, writeEndpoint } from './records.ts';

export class Connections {
	readonly #bpf: BpfObject;
	readonly #profileName: (id: number) => string | undefined;
	readonly #key = Buffer.alloc(connectionKeyLayout.size);
	readonly #value = Buffer.alloc(connectionLayout.size);

	constructor(bpf: BpfObject, profileName: (id: number) => string | undefined) {
		this.#bpf = bpf;
		this.#profileName = profileName;
	}

	/** All that match, newest first. Closed ones are forgotten `retainNs` after they closed. */
	find(question: LookupQuery, nowNs: bigint, retainNs: bigint): Connection[] {
		const { family, text, port } = question.peer;
		const scratch = Buffer.alloc(endpointLayout.size);
		writeEndpoint(scratch, 0, { family, address: ipaddr.parse(text).toByteArray(), port });
		this.#key.fill(0);
		scratch.copy(this.#key, connectionKeyLayout.address, 0, 16);
		this.#key.writeUInt16LE(port, connectionKeyLayout.port);
		this.#key[connectionKeyLayout.family] = family;
		const found: Connection[] = [];
		for (let slot = 0; slot < limit.PEER_SLOTS; slot++) {
			this.#key[connectionKeyLayout.slot] = slot;
			if (!this.#bpf.lookup('connections', this.#key, this.#value)) continue;
			const connection = readConnection(this.#value, 0, this.#profileName);
			if (connection !== undefined && matches(connection, question, nowNs, retainNs)) found.push(connection);
		}
		return found.sort((a, b) => (a.openedNs < b.openedNs ? 1 : a.openedNs > b.openedNs ? -1 : 0));
	}
}

function matches(connection: Connection, question: LookupQuery, nowNs: bigint, retainNs: bigint): boolean {
	const { openedNs, closedNs } = connection;
	if (closedNs !== undefined && closedNs + retainNs < nowNs) return false;
	if (question.netns !== undefined && question.netns !== connection.netns) return false;
	if (question.local !== undefined && formatEndpoint(question.local) !== formatEndpoint(connection.local)) return false;
	if (question.atNs === undefined) return true;
	return openedNs <= question.atNs && (closedNs === undefined || question.atNs <= closedNs);
}
