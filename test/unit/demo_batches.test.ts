// SPDX-License-Identifier: Apache-2.0
/** How `toascope demo --once` shares its connections among its clients. */
import { expect, it } from 'vitest';
import { batchesOf } from '../../daemon/cli/demo.ts';

it.each([
	[50, 500],
	[7, 25_000],
	[10_000, 20_000],
	[20_000, 20_000],
	[25_000, 60_001],
])('%i clients, each used, make %i connections, at most 10,000 at a time', (clients, connections) => {
	const used = new Set<number>();
	const parts = batchesOf(clients, connections);
	for (const { first, clients: of, count } of parts) {
		expect(count).toBeLessThanOrEqual(10_000);
		for (let i = 0; i < count; i++) used.add(first + (i % of));
	}
	expect(parts.reduce((sum, { count }) => sum + count, 0)).toBe(connections);
	expect(used.size).toBe(clients);
	expect(Math.max(...used)).toBe(clients - 1);
});
