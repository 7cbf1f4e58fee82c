// SPDX-License-Identifier: Apache-2.0
/**
 * The reasons of `toascope_drops_total`: each that the code can count is explained, and no other.
 */
import { expect, test } from 'vitest';
import { drop } from '../../../daemon/capture/records/layout.gen.ts';
import { dropReasons } from '../../../daemon/model/drops.ts';
import { setupPerTest, start } from '../../kit/telemetry/spans.ts';

setupPerTest();

test('every reason of the kernel and of the spans is explained', async () => {
	const { DROPS, ...reasons } = drop;
	// the size of the kernel's table: a reason beyond it would not be counted
	expect(DROPS).toBe(Math.max(...Object.values(reasons)) + 1);
	const kernel = Object.keys(reasons).map((name) => name.slice('DROP_'.length).toLowerCase());
	const spans = await start();
	await spans.shutdown(0);
	expect(Object.keys(dropReasons).toSorted()).toEqual([...kernel, ...Object.keys(spans.stats().dropped)].toSorted());
	for (const [name, { meaning }] of Object.entries(dropReasons)) expect(meaning, name).toMatch(/\.$/);
});
