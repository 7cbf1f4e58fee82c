// SPDX-License-Identifier: Apache-2.0
/** How connections are divided into batches. */

/** Connections of a batch: all of them are looked up before the table of connections is full. */
const batchSize = 10_000;

/** The clients of one batch, and its connections. */
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
	const parts: BatchPlan[] = [];
	for (let made = 0; made < connections; ) {
		const first = clients > batchSize ? made % clients : 0;
		const room = Math.min(batchSize, connections - made);
		const part = Math.min(clients - first, room);
		const count = clients > batchSize ? part : room;
		parts.push({ first, clients: part, count });
		made += count;
	}
	return parts;
}
