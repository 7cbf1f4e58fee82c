// SPDX-License-Identifier: Apache-2.0
/**
 * Makes the metric streams: every metric of `/metrics`, under its OpenTelemetry name, with the points that
 * it shows now. All values are totals since the start of their series.
 */
import type { SeriesTable } from '../../../model/series_table.ts';
import { type ClientColumns, clientColumns } from '../../client_columns.ts';
import { type MetricDefinition, type MetricName, metricDefinition, metricTable } from '../../metric_table.ts';
import { integer, type Point, type PointValue, summary } from '../../point.ts';
import { type Metrics, type RegisteredMetric, registeredMetrics } from '../../registry.ts';
import type { SeriesCache } from '../../series_cache.ts';
import { type PointAttributes, pointAttributes } from './attributes.ts';
import { runtimeMetric } from './runtime_metrics.ts';
import type { MetricStream, StreamHead, StreamPoint } from './stream.ts';

/**
 * The streams at this moment: those of the latest snapshot, of the daemon, and of its process.
 * @param nowNs the time of the points that are not from the snapshot (Unix nanoseconds)
 */
export async function* metricStreams(
	metrics: Metrics,
	attributes: SeriesCache<PointAttributes>,
	nowNs: bigint,
	onError: (error: unknown, metric: string) => void,
): AsyncGenerator<MetricStream> {
	const snapshot = metrics.latest();
	const snapshotNs = snapshot === undefined ? nowNs : BigInt(snapshot.atMs) * 1_000_000n;
	const registered = registeredMetrics(metrics);
	// all of them before the first is sent, since sending can last until there is another snapshot
	const streams = await Promise.allSettled(
		registered.map(async (metric) => streamOf(metric, metrics.startedNs, { snapshotNs, nowNs })),
	);
	for (const [index, result] of streams.entries()) {
		if (result.status === 'fulfilled') yield result.value;
		else onError(result.reason, registered[index]?.name ?? '');
	}
	if (snapshot === undefined) return;
	attributes.prune(snapshot.clients.length);
	for (const [name, columns] of Object.entries(clientColumns)) {
		const definition = metricDefinition(name as MetricName);
		yield {
			...headOf(definition),
			atNs: snapshotNs,
			points: clientPoints(snapshot.clients, columns, attributes),
		};
	}
}

const definitions = new Map<string, MetricDefinition>(metricTable.map((definition) => [definition.name, definition]));

function headOf({ otel, help, type, source }: MetricDefinition): StreamHead {
	const isPinned = source === 'snapshot' || source === 'client';
	return { name: otel.name, unit: otel.unit, description: help, isGauge: type === 'gauge', isPinned };
}

async function streamOf(
	metric: RegisteredMetric,
	startedNs: bigint,
	{ snapshotNs, nowNs }: { readonly snapshotNs: bigint; readonly nowNs: bigint },
): Promise<MetricStream> {
	const definition = definitions.get(metric.name);
	const atNs = definition?.source === 'snapshot' ? snapshotNs : nowNs;
	if (metric.points !== undefined && definition !== undefined) {
		return { ...headOf(definition), atNs, points: streamPoints(metric.name, metric.points()) };
	}
	const { head, points } = runtimeMetric(await metric.get(), startedNs);
	return {
		...(definition === undefined ? head : headOf(definition)),
		atNs,
		points: streamPoints(metric.name, points),
	};
}

function* streamPoints(metric: string, points: Iterable<Point>): Generator<StreamPoint> {
	for (const { labels, sinceNs, value } of points) {
		yield {
			// a listener that was folded and has come back is another series
			series: `${JSON.stringify(labels)} ${sinceNs}`,
			attributes: () => pointAttributes(metric, labels),
			sinceNs,
			value,
		};
	}
}

function* clientPoints(
	table: SeriesTable,
	columns: ClientColumns,
	attributes: SeriesCache<PointAttributes>,
): Generator<StreamPoint> {
	for (let row = 0; row < table.length; row++) {
		const series = table.series(row);
		yield {
			series,
			attributes: () => attributes.of(series),
			sinceNs: 'active' in columns || series.sinceUnknown === true ? undefined : series.sinceNs,
			value: valueAt(table, row, columns),
		};
	}
}

function valueAt(table: SeriesTable, row: number, columns: ClientColumns): PointValue {
	if ('active' in columns) return integer(table.active(row));
	if ('counter' in columns) return integer(table.value(row, columns.counter));
	return summary(BigInt(table.value(row, columns.sumNs)), BigInt(table.value(row, columns.count)));
}
