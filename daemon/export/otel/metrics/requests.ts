// SPDX-License-Identifier: Apache-2.0
/** Divides streams into requests, each of which a receiver accepts or rejects as a whole. */
import { create } from '@bufbuild/protobuf';
import { TimeSlice } from '../../../event_loop.ts';
import type { Exemplar } from '../../../model/snapshot.ts';
import type { TemporalityPreference } from '../../../otel_environment.ts';
import { countOf, exemplarOf, type PointValue } from '../../point.ts';
import type { InstrumentationScope } from '../proto/common.gen.ts';
import {
	AggregationTemporality,
	type Exemplar as ExemplarMessage,
	ExemplarSchema,
	type HistogramDataPoint,
	HistogramDataPointSchema,
	type Metric,
	MetricSchema,
	type NumberDataPoint,
	NumberDataPointSchema,
} from '../proto/metrics.gen.ts';
import { type ExportMetricsServiceRequest, ExportMetricsServiceRequestSchema } from '../proto/metrics_service.gen.ts';
import type { Resource } from '../proto/resource.gen.ts';
import type { MetricStream } from './stream.ts';
import { type DeltaState, isDelta, type SentPoint } from './temporality.ts';

/**
 * Data points in a request. Encoding a thousand occupies the event loop for some 5 ms; their 150 kB
 * are well below the 4 MiB that gRPC receivers accept by default.
 */
const pointsPerRequest = 1000;

export interface MetricsRequest {
	readonly message: ExportMetricsServiceRequest;
	readonly points: number;
	/** To be called when the receiver has accepted the request. */
	accept(): void;
}

export interface RequestOptions {
	readonly resource: Resource;
	readonly scope: InstrumentationScope;
	readonly temporality: TemporalityPreference;
}

/** The requests that export these streams. Yields to the event loop in between. */
export async function* metricsRequests(
	streams: AsyncIterable<MetricStream>,
	state: DeltaState,
	options: RequestOptions,
): AsyncGenerator<MetricsRequest> {
	const slice = new TimeSlice();
	let metrics: Metric[] = [];
	let accepts: (() => void)[] = [];
	const take = (): MetricsRequest => {
		const accepted = accepts;
		const { resource, scope } = options;
		const message = create(ExportMetricsServiceRequestSchema, {
			resourceMetrics: [{ resource, scopeMetrics: [{ scope, metrics }] }],
		});
		[metrics, accepts] = [[], []];
		return {
			message,
			points: accepted.length,
			accept() {
				for (const accept of accepted) accept();
			},
		};
	};
	for await (const stream of streams) {
		let points: SentPoint[] = [];
		for (const point of state.convert(stream)) {
			points.push(point);
			accepts.push(point.accept);
			if (slice.expired) await slice.yield();
			if (accepts.length < pointsPerRequest) continue;
			metrics.push(metricOf(stream, points, options.temporality));
			points = [];
			yield take();
		}
		if (points.length > 0) metrics.push(metricOf(stream, points, options.temporality));
	}
	if (accepts.length > 0) yield take();
}

/** `points`: at least one. */
function metricOf(stream: MetricStream, points: readonly SentPoint[], temporality: TemporalityPreference): Metric {
	const { name, description, unit, isGauge, atNs } = stream;
	const [first] = points;
	const delta = first !== undefined && isDelta(stream, first.value, temporality);
	const aggregationTemporality = delta ? AggregationTemporality.DELTA : AggregationTemporality.CUMULATIVE;
	const head = { name, description, unit };
	if (first?.value.type === 'distribution') {
		const dataPoints = points.map((point) => histogramPoint(point, atNs));
		return create(MetricSchema, {
			...head,
			data: { case: 'histogram', value: { aggregationTemporality, dataPoints } },
		});
	}
	const dataPoints = points.map((point) => numberPoint(point, atNs));
	return create(MetricSchema, {
		...head,
		data: isGauge
			? { case: 'gauge', value: { dataPoints } }
			: { case: 'sum', value: { aggregationTemporality, isMonotonic: true, dataPoints } },
	});
}

function numberPoint({ attributes, sinceNs, value }: SentPoint, atNs: bigint): NumberDataPoint {
	return create(NumberDataPointSchema, {
		attributes: attributes(),
		startTimeUnixNano: startOf(sinceNs, atNs),
		timeUnixNano: atNs,
		value: numberOf(value),
	});
}

function numberOf(value: PointValue): NumberDataPoint['value'] {
	switch (value.type) {
		case 'integer':
			return { case: 'asInt', value: BigInt(value.value) };
		case 'float':
			return { case: 'asDouble', value: value.value };
		case 'time':
			return { case: 'asDouble', value: secondsOf(value.ns) };
		case 'distribution':
			throw new TypeError('a distribution is not a number');
	}
}

function histogramPoint({ attributes, sinceNs, value }: SentPoint, atNs: bigint): HistogramDataPoint {
	if (value.type !== 'distribution') throw new TypeError('a number is not a distribution');
	const { sumNs, buckets, boundsNs } = value.histogram;
	const hasBounds = boundsNs.length > 0;
	return create(HistogramDataPointSchema, {
		attributes: attributes(),
		startTimeUnixNano: startOf(sinceNs, atNs),
		timeUnixNano: atNs,
		count: countOf(value.histogram),
		sum: secondsOf(sumNs),
		// without bounds both are empty: opentelemetry/proto/metrics/v1/metrics.proto
		bucketCounts: hasBounds ? [...buckets] : [],
		explicitBounds: hasBounds ? boundsNs.map(secondsOf) : [],
		exemplars: buckets.flatMap((_, bucket) => {
			const exemplar = exemplarOf(value.histogram, bucket);
			// with delta, the connection can be of an earlier point
			return exemplar === undefined || exemplar.timeNs < (sinceNs ?? 0n) ? [] : [exemplarMessage(exemplar)];
		}),
	});
}

function exemplarMessage({ traceId, spanId, valueNs, timeNs }: Exemplar): ExemplarMessage {
	return create(ExemplarSchema, {
		traceId: Buffer.from(traceId, 'hex'),
		spanId: Buffer.from(spanId, 'hex'),
		timeUnixNano: timeNs,
		value: { case: 'asDouble', value: secondsOf(valueNs) },
	});
}

/** 0, unknown, if the wall clock was set back: a start after its point would be invalid. */
function startOf(sinceNs: bigint | undefined, atNs: bigint): bigint {
	return sinceNs === undefined || sinceNs > atNs ? 0n : sinceNs;
}

/** The double that is nearest to the exact decimal, which `/metrics` prints. */
function secondsOf(ns: bigint): number {
	return Number(`${ns}e-9`);
}
