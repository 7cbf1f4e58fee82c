// SPDX-License-Identifier: Apache-2.0
/** Encodes a metric: message Metric of opentelemetry/proto/metrics/v1/metrics.proto. */
import type { Exemplar, Histogram } from '../../../model/snapshot.ts';
import { countOf, exemplarOf, type PointValue } from '../../point.ts';
import { AggregationTemporality } from '../proto/metrics.gen.ts';
import { fixed64, lengthDelimited, ProtobufWriter, varint } from '../protobuf_writer.ts';
import type { MetricStream, StreamPoint } from './stream.ts';

const metricField = {
	name: lengthDelimited(1),
	description: lengthDelimited(2),
	unit: lengthDelimited(3),
	gauge: lengthDelimited(5),
	sum: lengthDelimited(7),
	histogram: lengthDelimited(9),
} as const;
/** The fields of Gauge, Sum and Histogram, as far as they have them. */
const dataField = { point: lengthDelimited(1), temporality: varint(2), isMonotonic: varint(3) } as const;
/** Field numbers of NumberDataPoint and HistogramDataPoint. */
const pointField = { start: fixed64(2), time: fixed64(3) } as const;
const numberField = { double: fixed64(4), integer: fixed64(6) } as const;
const histogramField = {
	count: fixed64(4),
	sum: fixed64(5),
	buckets: lengthDelimited(6),
	bounds: lengthDelimited(7),
	exemplar: lengthDelimited(8),
} as const;
const exemplarField = {
	time: fixed64(2),
	double: fixed64(3),
	spanId: lengthDelimited(4),
	traceId: lengthDelimited(5),
} as const;

export class MetricWriter {
	readonly #metric = new ProtobufWriter();
	readonly #data = new ProtobufWriter();
	readonly #point = new ProtobufWriter();
	readonly #exemplar = new ProtobufWriter();

	/** Begins a metric. */
	begin(): void {
		this.#data.begin();
	}

	/** Adds a point. All points of a metric are numbers, or all are distributions. */
	add(point: StreamPoint, atNs: bigint): void {
		const { value, sinceNs, attributes } = point;
		const out = this.#point;
		out.begin();
		const startNs = startOf(sinceNs, atNs);
		if (startNs !== 0n) out.fixed64(pointField.start, startNs);
		out.fixed64(pointField.time, atNs);
		if (value.type === 'distribution') {
			this.#distribution(value.histogram, sinceNs);
			out.fields(attributes().histogram);
		} else {
			this.#number(value);
			out.fields(attributes().number);
		}
		this.#data.embed(dataField.point, out);
	}

	/** The metric with the points since begin(), until the next call. `type`: that of their values. */
	end(stream: MetricStream, type: PointValue['type'], isDelta: boolean): ProtobufWriter {
		const { name, description, unit, isGauge } = stream;
		const out = this.#metric;
		out.begin();
		out.text(metricField.name, name);
		out.text(metricField.description, description);
		out.text(metricField.unit, unit);
		const isHistogram = type === 'distribution';
		if (isHistogram || !isGauge) {
			const { DELTA, CUMULATIVE } = AggregationTemporality;
			this.#data.integer(dataField.temporality, isDelta ? DELTA : CUMULATIVE);
			if (!isHistogram) this.#data.integer(dataField.isMonotonic, 1);
		}
		out.embed(isHistogram ? metricField.histogram : isGauge ? metricField.gauge : metricField.sum, this.#data);
		return out;
	}

	#number(value: Exclude<PointValue, { type: 'distribution' }>): void {
		switch (value.type) {
			case 'integer':
				this.#point.sfixed64(numberField.integer, BigInt(value.value));
				return;
			case 'float':
				this.#point.double(numberField.double, value.value);
				return;
			case 'time':
				this.#point.double(numberField.double, secondsOf(value.ns));
		}
	}

	#distribution(histogram: Histogram, sinceNs: bigint | undefined): void {
		const { sumNs, buckets, boundsNs } = histogram;
		const out = this.#point;
		out.fixed64(histogramField.count, countOf(histogram));
		out.double(histogramField.sum, secondsOf(sumNs));
		// without bounds both are empty: opentelemetry/proto/metrics/v1/metrics.proto
		if (boundsNs.length > 0) {
			out.packedFixed64(histogramField.buckets, buckets);
			out.packedDouble(histogramField.bounds, boundsNs.map(secondsOf));
		}
		if (histogram.exemplars === undefined) return;
		for (const bucket of buckets.keys()) {
			const exemplar = exemplarOf(histogram, bucket);
			// with delta, the connection can be of an earlier point
			if (exemplar !== undefined && exemplar.timeNs >= (sinceNs ?? 0n)) this.#addExemplar(exemplar);
		}
	}

	#addExemplar({ traceId, spanId, valueNs, timeNs }: Exemplar): void {
		const out = this.#exemplar;
		out.begin();
		out.fixed64(exemplarField.time, timeNs);
		out.double(exemplarField.double, secondsOf(valueNs));
		out.id(exemplarField.spanId, spanId);
		out.id(exemplarField.traceId, traceId);
		this.#point.embed(histogramField.exemplar, out);
	}
}

/** 0, unknown, if the wall clock was set back: a start after its point would be invalid. */
function startOf(sinceNs: bigint | undefined, atNs: bigint): bigint {
	return sinceNs === undefined || sinceNs > atNs ? 0n : sinceNs;
}

/** The double that is nearest to the exact decimal, which `/metrics` prints. */
function secondsOf(ns: bigint): number {
	return Number(`${ns}e-9`);
}
