// SPDX-License-Identifier: Apache-2.0
/** Divides streams into requests, each of which a receiver accepts or rejects as a whole. */
import { TimeSlice } from '../../../event_loop.ts';
import type { TemporalityPreference } from '../../../otel_environment.ts';
import type { PointValue } from '../../point.ts';
import { EncodedItems } from '../encoded_items.ts';
import { MetricWriter } from './metric_writer.ts';
import type { MetricStream } from './stream.ts';
import { type DeltaState, isDelta } from './temporality.ts';

/** Data points in a request: their 150 kB are well below the 4 MiB that gRPC receivers accept by default. */
const pointsPerRequest = 1000;

export interface MetricsRequest {
	readonly metrics: EncodedItems;
	readonly points: number;
	/** To be called when the receiver has accepted the request. */
	accept(): void;
}

/**
 * The requests that export these streams; each until the next one is asked for. Yields to the event
 * loop in between.
 */
export async function* metricsRequests(
	streams: AsyncIterable<MetricStream>,
	state: DeltaState,
	temporality: TemporalityPreference,
): AsyncGenerator<MetricsRequest> {
	const slice = new TimeSlice();
	const writer = new MetricWriter();
	const metrics = new EncodedItems();
	let accepts: (() => void)[] = [];
	let points = 0;
	const take = (): MetricsRequest => {
		const accepted = accepts;
		const request = {
			metrics,
			points,
			accept() {
				for (const accept of accepted) accept();
			},
		};
		[accepts, points] = [[], 0];
		return request;
	};
	for await (const stream of streams) {
		/** The type of the points that the writer has; undefined: it has none. */
		let written: PointValue['type'] | undefined;
		const endMetric = () => {
			if (written === undefined) return;
			metrics.add(writer.end(stream, written, isDelta(stream, written, temporality)));
			written = undefined;
		};
		for (const point of state.convert(stream)) {
			if (written === undefined) writer.begin();
			written = point.value.type;
			writer.add(point, stream.atNs);
			points++;
			if (point.accept !== undefined) accepts.push(point.accept);
			if (slice.expired) await slice.yield();
			if (points < pointsPerRequest) continue;
			endMetric();
			yield take();
			metrics.clear();
		}
		endMetric();
	}
	if (points > 0) yield take();
}
