// SPDX-License-Identifier: Apache-2.0
/** The labels of series as bytes: cached, and discarded when most of their series have ended. */
import { expect, it } from 'vitest';
import { SeriesLabels } from '../../../../daemon/export/prometheus/client_families.ts';

const of = (client: string) => ({ client, listener: '192.0.2.1:80', sinceNs: 0n });

it('are the same bytes as long as the series exist, and are not kept forever', () => {
	const labels = new SeriesLabels();
	const [living, ...ended] = [of('a'), of('b"'), of('c')];
	const bytes = labels.of(living);
	for (const series of ended) labels.of(series);
	expect(String(labels.of(ended[0] as typeof living))).toBe('{client="b\\"",listener="192.0.2.1:80"} ');
	labels.prune(2);
	expect(labels.of(living)).toBe(bytes);
	labels.prune(1);
	expect(labels.of(living)).not.toBe(bytes);
	expect(labels.of(living)).toEqual(bytes);
});
