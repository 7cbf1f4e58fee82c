// SPDX-License-Identifier: Apache-2.0
/**
 * The response of `/v1/clients`: the clients with the greatest values out of any number of them,
 * found in time slices that yield to the event loop.
 */

import { formatTime } from '../api/time.ts';
import { TimeSlice } from '../event_loop.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { TopK } from '../model/top_k.ts';
import { clientJson } from './json.ts';
import type { ClientSortKey } from './query.ts';

/** Rows between two checks of the clock: below 0.5 ms, even if each row exceeds all before it. */
const rowsPerCheck = 256;

/**
 * Returns JSON with the `limit` clients whose values are greatest, in descending order. Among equal
 * ones the earlier row of the table comes first.
 */
export async function clientsResponse(snapshot: Snapshot, limit: number, sort: ClientSortKey): Promise<string> {
	const { atMs, clients } = snapshot;
	const slice = new TimeSlice();
	const greatest = new TopK(limit);
	for (let row = 0; row < clients.length; row++) {
		if (row % rowsPerCheck === 0 && slice.expired) await slice.yield();
		greatest.offer(row, sort(clients, row));
	}
	// one row at a time: JSON.stringify() cannot yield in the middle
	const clientTexts: string[] = [];
	for (let row = greatest.popLast(); row !== undefined; row = greatest.popLast()) {
		if (slice.expired) await slice.yield();
		clientTexts.push(JSON.stringify(clientJson(clients.row(row))));
	}
	const at = formatTime(BigInt(atMs) * 1_000_000n);
	return `{"at":"${at}","total":${clients.length},"clients":[${clientTexts.reverse().join()}]}`;
}
