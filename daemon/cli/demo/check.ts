// SPDX-License-Identifier: Apache-2.0
/**
 * Checks the demo. The lab's client reports the address that it connected from, and the lab's
 * server the peer that it saw; toascope is only asked which client is behind that peer.
 */
import type { ConnectionResult, EchoRecord } from '../../lab/protocol.ts';
import type { Connection } from '../../model/connection.ts';
import type { LookupQuery, LookupResult } from '../../model/lookup.ts';

export interface Tally {
	readonly clients: ReadonlySet<string>;
	readonly connections: number;
	/** toascope named the client that really made it. */
	readonly resolved: number;
	/** toascope named another client. */
	readonly mismatched: number;
	/** toascope named no client. */
	readonly unresolved: number;
	/** The connection itself failed. */
	readonly failed: number;
	/** Resolved, but with byte counts that differ from the client's own. */
	readonly bytesMismatched: number;
}

export const emptyTally: Tally = {
	clients: new Set(),
	connections: 0,
	resolved: 0,
	mismatched: 0,
	unresolved: 0,
	failed: 0,
	bytesMismatched: 0,
};

/** The daemon's lookups. */
interface Lookups {
	refreshLookups(): Promise<void>;
	lookup(query: LookupQuery): LookupResult;
}

export class LabCheck {
	readonly #netns: number;
	readonly #served = new Map<string, EchoRecord>();
	#awaited: { readonly ids: Set<string>; readonly resolve: () => void } | undefined;

	/** `netns`: inode number of the server's network namespace. */
	constructor(netns: number) {
		this.#netns = netns;
	}

	/** Adds the server's records of connections that have ended. */
	addServed(records: readonly EchoRecord[]): void {
		for (const record of records) {
			this.#served.set(record.id, record);
			this.#awaited?.ids.delete(record.id);
		}
		if (this.#awaited?.ids.size === 0) this.#awaited.resolve();
	}

	async #untilServed(ids: readonly string[]): Promise<void> {
		const missing = new Set(ids.filter((id) => !this.#served.has(id)));
		if (missing.size === 0) return;
		await new Promise<void>((resolve) => {
			this.#awaited = { ids: missing, resolve };
		});
		this.#awaited = undefined;
	}

	/** Adds a batch of connections to the tally. */
	async check(results: readonly ConnectionResult[], before: Tally, lookups: Lookups): Promise<Tally> {
		const made = results.filter(({ error }) => error === undefined);
		await this.#untilServed(made.map(({ id }) => id));
		await lookups.refreshLookups();
		const outcomes = made.map((result) => this.#outcome(result, lookups));
		const count = (outcome: string) => outcomes.filter((one) => one === outcome).length;
		for (const { id } of made) this.#served.delete(id);
		return {
			clients: new Set([...before.clients, ...made.map(({ client }) => client)]),
			connections: before.connections + results.length,
			resolved: before.resolved + count('resolved') + count('bytes'),
			mismatched: before.mismatched + count('mismatched'),
			unresolved: before.unresolved + count('unresolved'),
			failed: before.failed + results.length - made.length,
			bytesMismatched: before.bytesMismatched + count('bytes'),
		};
	}

	#outcome(result: ConnectionResult, lookups: Lookups): 'resolved' | 'mismatched' | 'unresolved' | 'bytes' {
		const record = this.#served.get(result.id);
		if (record === undefined) return 'unresolved';
		const peer = { family: 4, text: record.peer.replace('::ffff:', ''), port: record.peerPort } as const;
		const [found] = lookups.lookup({ peer, netns: this.#netns }).connections;
		if (found?.client === undefined) return 'unresolved';
		if (found.client.text !== result.client || found.client.port !== result.clientPort) return 'mismatched';
		const exact = found.receivedBytes === BigInt(result.sent) && found.sentBytes === BigInt(result.received);
		return exact ? 'resolved' : 'bytes';
	}
}

/**
 * Checks the demo with a server that is not the lab's: only the clients of its connections are
 * known, and each of them must be among those that toascope found.
 */
export class BackendCheck {
	readonly #made = new Set<string>();
	readonly #found = new Set<string>();
	#tally: Tally = emptyTally;

	/** The most clients that wait for their counterpart: further ones are not remembered. */
	static readonly #awaitedMax = 10_000;

	addMade(results: readonly ConnectionResult[]): void {
		const { clients, connections, failed } = this.#tally;
		const good = results.filter(({ error }) => error === undefined);
		this.#tally = {
			...this.#tally,
			clients: new Set([...clients, ...good.map(({ client }) => client)]),
			connections: connections + results.length,
			failed: failed + results.length - good.length,
		};
		for (const { client, clientPort } of good) this.#pair(`${client} ${clientPort}`, this.#made, this.#found);
	}

	/** Adds a closed connection as toascope recorded it. */
	addFound({ client }: Connection): void {
		if (client !== undefined) this.#pair(`${client.text} ${client.port}`, this.#found, this.#made);
	}

	#pair(key: string, own: Set<string>, other: Set<string>): void {
		if (other.delete(key)) this.#tally = { ...this.#tally, resolved: this.#tally.resolved + 1 };
		else if (own.size < BackendCheck.#awaitedMax) own.add(key);
	}

	get tally(): Tally {
		return { ...this.#tally, unresolved: this.#made.size };
	}
}
