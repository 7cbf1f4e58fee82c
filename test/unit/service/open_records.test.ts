// SPDX-License-Identifier: Apache-2.0
/** When open connections have their records. */
import { expect, it } from 'vitest';
import { yieldOnce } from '../../../daemon/event_loop.ts';
import type { Connection } from '../../../daemon/model/connection.ts';
import { OpenRecords } from '../../../daemon/service/open_records.ts';
import { connection } from '../../kit/telemetry/spans.ts';

const second = 1_000_000_000n;
const open = (cookie: bigint, openedNs: bigint): Connection => ({
	...connection,
	cookie,
	openedNs,
	state: 'open',
	closedNs: undefined,
});

function harness(connections: readonly Connection[]) {
	let nowNs = 1000n * second;
	let fails = false;
	const made: [cookie: bigint, atSecond: bigint][] = [];
	const records = new OpenRecords({
		tracker: {
			async eachOpen({ isWanted, visit }) {
				for (const each of connections) if (each.openedNs <= nowNs && isWanted(each.openedNs)) visit(each, nowNs);
				if (fails) throw new Error('the kernel refuses');
			},
		},
		intervalMs: 300_000,
		monotonicNs: () => nowNs,
		hasRoom: () => true,
		onOpen: ({ cookie }, atNs) => made.push([cookie, atNs / second]),
		onFailure: () => {},
	});
	return {
		/** Runs at a second; returns the records of this run. */
		async at(seconds: bigint, failing = false) {
			[nowNs, fails] = [seconds * second, failing];
			made.length = 0;
			await records.run(yieldOnce);
			return [...made];
		},
	};
}

it('one after each interval that a connection lasts, and none before the first', async () => {
	const { at } = harness([open(1n, 1001n * second), open(2n, 1150n * second)]);
	expect(await at(1000n)).toEqual([]);
	expect(await at(1300n)).toEqual([]);
	expect(await at(1302n)).toEqual([[1n, 1302n]]);
	expect(await at(1303n)).toEqual([]);
	expect(await at(1451n)).toEqual([[2n, 1451n]]);
	expect(await at(1602n)).toEqual([[1n, 1602n]]);
});

it('a run that is hours late makes one record of each', async () => {
	const { at } = harness([open(1n, 1001n * second), open(2n, 1150n * second)]);
	expect(await at(9000n)).toEqual([
		[1n, 9000n],
		[2n, 9000n],
	]);
	expect(await at(9001n)).toEqual([]);
});

it('what was due before this daemon started is not made up for', async () => {
	const { at } = harness([open(1n, 1n)]);
	expect(await at(1001n)).toEqual([]);
	expect(await at(1201n)).toEqual([[1n, 1201n]]);
});

it('a run that fails is repeated', async () => {
	const { at } = harness([open(1n, 1001n * second)]);
	await expect(at(1302n, true)).rejects.toThrow('the kernel refuses');
	expect(await at(1303n)).toEqual([[1n, 1303n]]);
});
