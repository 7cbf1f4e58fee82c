// SPDX-License-Identifier: Apache-2.0
/** The reasons of `toascope_drops_total`: each that the code can count is explained, and no other. */
import { expect, test } from 'vitest';
import { drop } from '../../daemon/capture/layout.gen.ts';
import { startSpans } from '../../daemon/export/otel/spans.ts';
import { dropReasons } from '../../daemon/model/drops.ts';

test('every reason of the kernel and of the spans is explained', async () => {
	const kernel = Object.keys(drop)
		.filter((name) => name !== 'DROPS')
		.map((name) => name.slice('DROP_'.length).toLowerCase());
	const { OTEL_SDK_DISABLED: before } = process.env;
	process.env.OTEL_SDK_DISABLED = 'true';
	const logger = { info() {} } as unknown as Parameters<typeof startSpans>[0]['logger'];
	const spans = await startSpans({ clock: (ns) => ns, resolveContainer: () => undefined, logger, version: '1' });
	if (before === undefined) delete process.env.OTEL_SDK_DISABLED;
	else process.env.OTEL_SDK_DISABLED = before;
	expect(Object.keys(dropReasons).toSorted()).toEqual([...kernel, ...Object.keys(spans.stats().dropped)].toSorted());
	for (const [name, { meaning }] of Object.entries(dropReasons)) expect(meaning, name).toMatch(/\.$/);
});
