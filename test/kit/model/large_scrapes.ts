// SPDX-License-Identifier: Apache-2.0
/** Long responses, and the bytes that they must have. */
import type { PrometheusExporter } from '../../../daemon/export/prometheus/exporter.ts';
import type { ClientSeries } from '../../../daemon/model/series.ts';
import type { Snapshot } from '../../../daemon/model/snapshot.ts';
import { clients, snapshot, tableOf } from './snapshot.ts';
import { fixtureExporter } from './view.ts';

/**
 * A snapshot whose response has 20 MB: more than sockets can buffer and, even when compressed, more
 * than a Unix socket can buffer. No two generations share a client.
 */
function largeSnapshot(generation: number): Snapshot {
	const one = (_: unknown, at: number) =>
		({ ...clients[0], client: `2001:db8:${generation}::${(at * 0x9e37).toString(16)}` }) as ClientSeries;
	return { ...snapshot, clients: tableOf(Array.from({ length: 20_000 }, one)) };
}
export const largeSnapshots = [1, 2, 3].map(largeSnapshot);

export const accepts = { prometheus: 'text/plain', openmetrics: 'application/openmetrics-text' } as const;
export type Format = keyof typeof accepts;

/** The expected response of each generation, rendered separately. */
const expected = { prometheus: [] as Buffer[], openmetrics: [] as Buffer[] };
for (const format of ['prometheus', 'openmetrics'] as const) {
	for (const one of largeSnapshots)
		expected[format].push(
			Buffer.concat(
				await chunksOf(
					fixtureExporter(() => one),
					format,
				),
			),
		);
}

export async function chunksOf(exporter: PrometheusExporter, format: Format): Promise<Buffer[]> {
	const chunks: Buffer[] = [];
	for await (const chunk of exporter.render(format)) chunks.push(chunk);
	return chunks;
}

/** Compares with one call: expect() would print 20 MB. */
export const isAnswer = (found: Buffer, generation: number, format: Format = 'prometheus') =>
	expected[format][generation]?.equals(found) === true;
