// SPDX-License-Identifier: Apache-2.0
/**
 * The per-client families: thousands of series, so their lines are written as bytes, and the labels of a series
 * are put together once.
 */
import type { SeriesTable } from '../../model/series_table.ts';
import type { Series, Traffic } from '../../model/snapshot.ts';
import { type MetricName, metricDefinition } from '../metric_table.ts';
import type { Family } from './family.ts';
import { LineWriter } from './line_writer.ts';
import type { PiecePool } from './piece_pool.ts';
import { createdName, escapeLabelValue, formatSeconds, pieceLength } from './text.ts';

/** Writes the value that one row shows. */
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

/** In order: name of the family, and of each sample its suffix and value. */
const families: readonly (readonly [MetricName, readonly (readonly [suffix: string, value: Value])[]])[] = [
	['toascope_client_connections_opened_total', [['', integer('opened')]]],
	['toascope_client_connections_closed_total', [['', integer('closed')]]],
	['toascope_client_connections_active', [['', active]]],
	['toascope_client_received_bytes_total', [['', integer('receivedBytes')]]],
	['toascope_client_sent_bytes_total', [['', integer('sentBytes')]]],
	['toascope_client_retransmitted_segments_total', [['', integer('retransmittedSegments')]]],
	[
		'toascope_client_rtt_seconds',
		[
			['_sum', seconds('rttSumNs')],
			['_count', integer('rttCount')],
		],
	],
	[
		'toascope_client_connection_duration_seconds',
		[
			['_sum', seconds('durationSumNs')],
			['_count', integer('closed')],
		],
	],
];

/** `{client="...",listener="..."} ` of each series: as long as it lives they are the same bytes. */
export class SeriesLabels {
	readonly #known = new Map<Series, Uint8Array>();

	/** Forgets those of series that have ended, when they are many. */
	prune(living: number): void {
		if (this.#known.size > 2 * living) this.#known.clear();
	}

	of(series: Series): Uint8Array {
		let bytes = this.#known.get(series);
		if (bytes === undefined) {
			const { client, listener } = series;
			bytes = Buffer.from(`{client="${escapeLabelValue(client)}",listener="${escapeLabelValue(listener)}"} `);
			this.#known.set(series, bytes);
		}
		return bytes;
	}
}

/**
 * The families of these series; with `created`, when each series began. Each family's lines can be iterated once, one family
 * after the other; they are pieces of the pool.
 */
export function clientFamilies(table: SeriesTable, labels: SeriesLabels, pool: PiecePool, created = false): Family[] {
	const out = new LineWriter(pool);
	/** By row: asked for once, for all families. */
	const found: Uint8Array[] = [];
	labels.prune(table.length);

	const labelsAt = (row: number): Uint8Array => {
		const bytes = found[row] ?? labels.of(table.series(row));
		found[row] = bytes;
		return bytes;
	};

	/** By row, labels and value: the same for all families. */
	const begun: Uint8Array[] = [];

	const writeCreated = (name: Uint8Array, row: number) => {
		const { sinceNs, older } = table.series(row);
		if (older === true) return;
		begun[row] ??= Buffer.concat([labelsAt(row), Buffer.from(`${formatSeconds(sinceNs)}\n`)]);
		out.bytes(name);
		out.bytes(begun[row]);
	};

	function* lines(name: MetricName, samples: readonly (readonly [string, Value])[]): Generator<Buffer> {
		const began = created && metricDefinition(name).type !== 'gauge' ? Buffer.from(createdName(name)) : undefined;
		const parts = samples.map(([suffix, value]) => ({ name: Buffer.from(name + suffix), value }));
		for (let row = 0; row < table.length; row++) {
			const text = labelsAt(row);
			for (const part of parts) {
				out.bytes(part.name);
				out.bytes(text);
				part.value(out, table, row);
				out.endLine();
			}
			if (began !== undefined) writeCreated(began, row);
			if (out.length >= pieceLength) yield out.take();
		}
		if (out.length > 0) yield out.take();
	}

	return families.map(([name, samples]) => ({ head: metricDefinition(name), lines: lines(name, samples) }));
}
