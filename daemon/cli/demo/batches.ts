// SPDX-License-Identifier: Apache-2.0
/** How connections are divided into batches. */

/** Connections of a batch: all of them are looked up before the connection table is full. */
const batchSize = 10_000;

/** Which clients make the connections of one batch, and how many. */
interface BatchPlan {
	/** Number of the first client, from 0. */
	readonly first: number;
	readonly clients: number;
	readonly count: number;
}

/**
 * Batches whose connections cycle through all clients. A batch that reaches the last client ends
 * there.
 */
export function batchesOf(clients: number, connections: number): BatchPlan[] {
	const batches: BatchPlan[] = [];
	for (let made = 0; made < connections; ) {
		const first = clients > batchSize ? made % clients : 0;
		const room = Math.min(batchSize, connections - made);
		const some = Math.min(clients - first, room);
		const count = clients > batchSize ? some : room;
		batches.push({ first, clients: some, count });
		made += count;
	}
	return batches;
}
