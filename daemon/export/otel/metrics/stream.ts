// SPDX-License-Identifier: Apache-2.0
/** A metric stream: a metric under its OpenTelemetry name, with the points that it shows now. */
import type { Series } from '../../../model/series.ts';
import type { PointValue } from '../../point.ts';
import type { PointAttributes } from './attributes.ts';

export interface MetricStream {
	readonly name: string;
	readonly description: string;
	readonly unit: string;
	readonly isGauge: boolean;
	/** Its counters outlive the daemon: the next one goes on with them. */
	readonly isPinned: boolean;
	/** When the points were taken (Unix nanoseconds). */
	readonly atNs: bigint;
	/** Made during iteration; to be iterated once. */
	readonly points: Iterable<StreamPoint>;
}

export interface StreamPoint {
	/** Identifies the series within its stream for as long as it lives. */
	readonly series: Series | string;
	readonly attributes: () => PointAttributes;
	/** When the series was 0 (Unix nanoseconds); undefined: not known, or a gauge. */
	readonly sinceNs: bigint | undefined;
	readonly value: PointValue;
}

/** A stream without its points. */
export type StreamHead = Omit<MetricStream, 'atNs' | 'points'>;
