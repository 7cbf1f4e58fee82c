// SPDX-License-Identifier: Apache-2.0
/**
 * The reasons of `toascope_drops_total`: each that the code can count is explained, and no other.
 */
import { expect, test } from 'vitest';
import { drop } from '../../../daemon/capture/records/layout.gen.ts';
import { dropReasons } from '../../../daemon/model/drops.ts';
import { noDrops } from '../../../daemon/service/telemetry.ts';
import { startRecords } from '../../kit/telemetry/records.ts';
import { receiver, setupPerTest, start } from '../../kit/telemetry/spans.ts';

setupPerTest();

test('every reason of the kernel, of the spans and of the connection records is explained', async () => {
	const { DROPS, ...reasons } = drop;
	// the size of the kernel's table: a reason beyond it would not be counted
	expect(DROPS).toBe(Math.max(...Object.values(reasons)) + 1);
	const kernel = Object.keys(reasons).map((name) => name.slice('DROP_'.length).toLowerCase());
	const spans = await start();
	await spans.shutdown(0);
	const { records } = await startRecords({ endpoint: receiver.endpoint });
	await records.shutdown(0);
	const telemetry = Object.keys({ ...spans.stats().dropped, ...records.stats().dropped });
	expect(Object.keys(noDrops)).toEqual(telemetry);
	expect(Object.keys(dropReasons).toSorted()).toEqual([...kernel, ...telemetry].toSorted());
	for (const [name, { meaning }] of Object.entries(dropReasons)) expect(meaning, name).toMatch(/\.$/);
});
