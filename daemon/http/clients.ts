// SPDX-License-Identifier: Apache-2.0
/** The answer of `/v1/clients`: the greatest of as many clients as there are, put together in turns. */
import { Greatest } from '../model/greatest.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { clientJson } from './json.ts';
import type { ClientSortKey } from './query.ts';
import { formatTime } from './time.ts';
import { Turns } from './turns.ts';

/** Rows between two looks at the clock: less than half a millisecond, also where each is greater than all before. */
const rowsALook = 256;

/** JSON: the `limit` greatest, the greatest first, of equal ones the earlier row of the table. */
export async function clientsAnswer(snapshot: Snapshot, limit: number, sort: ClientSortKey): Promise<string> {
	const { atMs, clients } = snapshot;
	const turns = new Turns();
	const greatest = new Greatest(limit);
	for (let row = 0; row < clients.length; row++) {
		if (row % rowsALook === 0 && turns.due) await turns.next();
		greatest.offer(row, sort(clients, row));
	}
	// as text at once: JSON.stringify() gives nothing back in the middle
	const shown: string[] = [];
	for (let row = greatest.takeLast(); row !== undefined; row = greatest.takeLast()) {
		if (turns.due) await turns.next();
		shown.push(JSON.stringify(clientJson(clients.row(row))));
	}
	const at = formatTime(BigInt(atMs) * 1_000_000n);
	return `{"at":"${at}","total":${clients.length},"clients":[${shown.reverse().join()}]}`;
}
