// SPDX-License-Identifier: Apache-2.0
/** Exports all metrics over OTLP. It keeps no counters, except what the receiver has (delta). */
import { create } from '@bufbuild/protobuf';
import type { Resource } from '@opentelemetry/resources';
import type { TemporalityPreference } from '../../../otel_environment.ts';
import type { Metrics } from '../../registry.ts';
import { InstrumentationScopeSchema } from '../proto/common.gen.ts';
import type { Receiver } from '../receiver.ts';
import { resourceMessage } from '../resource.ts';
import type { SignalHealth } from '../signal_health.ts';
import { SeriesAttributes } from './attributes.ts';
import { type MetricsRequest, metricsRequests, type RequestOptions } from './requests.ts';
import { type MetricStream, metricStreams } from './stream.ts';
import { DeltaState } from './temporality.ts';

export interface MetricExportOptions {
	readonly metrics: Metrics;
	readonly receiver: Receiver<MetricsRequest>;
	readonly health: SignalHealth;
	readonly resource: Resource;
	readonly temporality: TemporalityPreference;
	/** Version of toascope. */
	readonly version: string;
	/** Called for a metric that could not be read; the export continues without it. */
	readonly onError: (error: unknown, metric: string) => void;
}

export class MetricExport {
	readonly #options: MetricExportOptions;
	readonly #requestOptions: RequestOptions;
	readonly #attributes = new SeriesAttributes();
	readonly #state: DeltaState;

	constructor(options: MetricExportOptions) {
		const { metrics, resource, temporality, version } = options;
		this.#options = options;
		this.#state = new DeltaState(temporality, metrics.startedNs);
		this.#requestOptions = {
			resource: resourceMessage(resource),
			scope: create(InstrumentationScopeSchema, { name: 'toascope', version }),
			temporality,
		};
	}

	/**
	 * Records what earlier daemons have counted: a series that one of them began is not sent again
	 * as a delta. To be called once, after the first collection.
	 */
	async begin(): Promise<void> {
		this.#state.beginExport();
		for await (const stream of this.#streams()) for (const _ of this.#state.convert(stream));
		this.#state.endExport();
	}

	/**
	 * Sends what all metrics show now. Ends at the first request that fails: the next export has
	 * everything that this one would have had. Resolves to whether all requests were accepted.
	 */
	async run(): Promise<boolean> {
		const { receiver, health } = this.#options;
		this.#state.beginExport();
		for await (const request of metricsRequests(this.#streams(), this.#state, this.#requestOptions)) {
			const outcome = await receiver.send(request);
			health.record(request.points, outcome);
			if (outcome.error !== undefined) return false;
			// what the receiver rejects it has rejected for good: by the specification the request
			// must not be repeated
			request.accept();
		}
		this.#state.endExport();
		return true;
	}

	/** Ends the request in progress. */
	close(): void {
		this.#options.receiver.close();
	}

	#streams(): AsyncGenerator<MetricStream> {
		const { metrics, onError } = this.#options;
		return metricStreams(metrics, this.#attributes, BigInt(Date.now()) * 1_000_000n, onError);
	}
}
