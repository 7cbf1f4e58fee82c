// SPDX-License-Identifier: Apache-2.0
/**
 * The per-client families. They have thousands of series, so their lines are written as bytes, and
 * the labels of a series are formatted once.
 */

import type { Series } from '../../model/series.ts';
import type { SeriesTable } from '../../model/series_table.ts';
import type { Traffic } from '../../model/traffic.ts';
import { type ClientColumns, clientColumns } from '../client_columns.ts';
import { type MetricName, type MetricOf, metricDefinition } from '../metric_table.ts';
import type { SeriesCache } from '../series_cache.ts';
import type { ChunkPool } from './chunk_pool.ts';
import type { Family } from './family.ts';
import { LineWriter } from './line_writer.ts';
import { chunkLength, createdName, escapeLabelValue, formatSeconds } from './text.ts';

/** Writes the value of one row. */
type Value = (out: LineWriter, table: SeriesTable, row: number) => void;

const integer =
	(field: keyof Traffic): Value =>
	(out, table, row) =>
		out.integer(table.value(row, field));

const seconds =
	(field: keyof Traffic): Value =>
	(out, table, row) =>
		out.seconds(table.value(row, field));

const active: Value = (out, table, row) => out.integer(table.active(row));

/** The suffix and the value of each sample of a series. */
function samplesOf(columns: ClientColumns): readonly (readonly [suffix: string, value: Value])[] {
	if ('active' in columns) return [['', active]];
	if ('counter' in columns) return [['', integer(columns.counter)]];
	return [
		['_sum', seconds(columns.sumNs)],
		['_count', integer(columns.count)],
	];
}

/** The labels of a series as bytes, with the space that follows them. */
export function seriesLabels({ client, listener }: Series): Uint8Array {
	return Buffer.from(`{client="${escapeLabelValue(client)}",listener="${escapeLabelValue(listener)}"} `);
}

/**
 * The families of these series; with `created`, also the creation time of each series. The lines of
 * each family can be iterated once, one family after the other; they are chunks of the pool.
 */
export function clientFamilies(
	table: SeriesTable,
	labels: SeriesCache<Uint8Array>,
	pool: ChunkPool,
	created = false,
): Family[] {
	const out = new LineWriter(pool);
	/** Labels by row, looked up once for all families. */
	const labelsByRow: Uint8Array[] = [];
	labels.prune(table.length);

	const labelsAt = (row: number): Uint8Array => {
		const bytes = labelsByRow[row] ?? labels.of(table.series(row));
		labelsByRow[row] = bytes;
		return bytes;
	};

	/** By row, the labels and the value of `_created`, which all families share. */
	const createdByRow: Uint8Array[] = [];

	const writeCreated = (name: Uint8Array, row: number) => {
		const { sinceNs, sinceUnknown: older } = table.series(row);
		if (older === true) return;
		createdByRow[row] ??= Buffer.concat([labelsAt(row), Buffer.from(`${formatSeconds(sinceNs)}\n`)]);
		out.bytes(name);
		out.bytes(createdByRow[row]);
	};

	function* lines(name: MetricName, samples: readonly (readonly [string, Value])[]): Generator<Buffer> {
		const beganName = created && metricDefinition(name).type !== 'gauge' ? Buffer.from(createdName(name)) : undefined;
		const parts = samples.map(([suffix, value]) => ({ name: Buffer.from(name + suffix), value }));
		for (let row = 0; row < table.length; row++) {
			const text = labelsAt(row);
			for (const part of parts) {
				out.bytes(part.name);
				out.bytes(text);
				part.value(out, table, row);
				out.endLine();
			}
			if (beganName !== undefined) writeCreated(beganName, row);
			if (out.length >= chunkLength) yield out.take();
		}
		if (out.length > 0) yield out.take();
	}

	return Object.entries(clientColumns).map(([key, columns]) => {
		const name = key as MetricOf<'client'>;
		return { head: metricDefinition(name), lines: lines(name, samplesOf(columns)) };
	});
}
