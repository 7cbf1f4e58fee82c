// SPDX-License-Identifier: Apache-2.0
/** How `toascope demo --once` distributes its connections over its clients. */
import { expect, it } from 'vitest';
import { batchesOf } from '../../../daemon/cli/demo/batches.ts';

it.each([
	[50, 500],
	[7, 25_000],
	[10_000, 20_000],
	[20_000, 20_000],
	[25_000, 60_001],
])('%i clients make %i connections in batches of at most 10,000, and each client is used', (clients, connections) => {
	const used = new Set<number>();
	const batches = batchesOf(clients, connections);
	for (const { first, clients: inBatch, count } of batches) {
		expect(count).toBeLessThanOrEqual(10_000);
		for (let i = 0; i < count; i++) used.add(first + (i % inBatch));
	}
	expect(batches.reduce((sum, { count }) => sum + count, 0)).toBe(connections);
	expect(used.size).toBe(clients);
	expect(Math.max(...used)).toBe(clients - 1);
});
