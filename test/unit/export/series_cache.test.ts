// SPDX-License-Identifier: Apache-2.0
/** The labels of series as bytes: cached, and discarded when most of their series have ended. */
import { expect, it } from 'vitest';
import { seriesLabels } from '../../../daemon/export/prometheus/client_families.ts';
import { SeriesCache } from '../../../daemon/export/series_cache.ts';

const of = (client: string) => ({ client, listener: '192.0.2.1:80', sinceNs: 0n });

it('are the same bytes as long as the series exist, and are not kept forever', () => {
	const labels = new SeriesCache(seriesLabels);
	const [live, ...ended] = [of('a'), of('b"'), of('c')];
	const bytes = labels.of(live);
	for (const series of ended) labels.of(series);
	expect(String(labels.of(ended[0] as typeof live))).toBe('{client="b\\"",listener="192.0.2.1:80"} ');
	labels.prune(2);
	expect(labels.of(live)).toBe(bytes);
	labels.prune(1);
	expect(labels.of(live)).not.toBe(bytes);
	expect(labels.of(live)).toEqual(bytes);
});
