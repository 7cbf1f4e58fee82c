// SPDX-License-Identifier: Apache-2.0
/** Exports all metrics over OTLP. It keeps no counters, except what the receiver has (delta). */
import { Deadline, withinMs } from '../../../deadline.ts';
import { TimeSlice } from '../../../event_loop.ts';
import type { TemporalityPreference } from '../../../otel_environment.ts';
import type { Metrics } from '../../registry.ts';
import { SeriesCache } from '../../series_cache.ts';
import type { Receiver } from '../receiver.ts';
import type { SignalHealth } from '../signal_health.ts';
import { seriesAttributes } from './attributes.ts';
import { type MetricsRequest, metricsRequests } from './requests.ts';
import type { MetricStream } from './stream.ts';
import { metricStreams } from './streams.ts';
import { DeltaState } from './temporality.ts';

export interface MetricExportOptions {
	readonly metrics: Metrics;
	readonly receiver: Receiver<MetricsRequest>;
	readonly health: SignalHealth;
	readonly temporality: TemporalityPreference;
	/** The time for an export: no request begins later. */
	readonly timeoutMs: number;
	/** Called for a metric that could not be read; the export continues without it. */
	readonly onError: (error: unknown, metric: string) => void;
}

export class MetricExport {
	readonly #options: MetricExportOptions;
	readonly #attributes = new SeriesCache(seriesAttributes);
	readonly #state: DeltaState;
	/** The export in progress: two at a time would send the same deltas twice. */
	#running: Promise<boolean> | undefined;
	#ending = false;
	/** The receiver does not want a request earlier (performance.now()). */
	#notBeforeMs = 0;

	constructor(options: MetricExportOptions) {
		this.#options = options;
		this.#state = new DeltaState(options.temporality);
	}

	/**
	 * Records what earlier daemons have counted: it is not sent again as a delta. To be called once,
	 * after the first collection. `adopted`: the counters are those of an earlier daemon.
	 */
	async begin(adopted: boolean): Promise<void> {
		if (this.#options.temporality === 'cumulative') return;
		const slice = new TimeSlice();
		for await (const stream of this.#streams()) {
			for (const point of stream.points) {
				this.#state.begin(stream, point, adopted);
				if (slice.expired) await slice.yield();
			}
		}
	}

	/**
	 * Sends what all metrics show now. Ends at the first request that cannot reach the receiver: the
	 * next export has everything that this one would have had. Resolves to whether all requests were
	 * accepted. While an export is in progress, resolves with its result. Sends nothing as long as the
	 * receiver has demanded.
	 */
	run(): Promise<boolean> {
		if (this.#running === undefined && performance.now() < this.#notBeforeMs) return Promise.resolve(false);
		this.#running ??= this.#export().finally(() => {
			this.#running = undefined;
		});
		return this.#running;
	}

	async #export(): Promise<boolean> {
		const { receiver, health, temporality, timeoutMs } = this.#options;
		const deadline = new Deadline(timeoutMs);
		let failure: Error | undefined;
		this.#state.beginExport();
		for await (const request of metricsRequests(this.#streams(), this.#state, temporality)) {
			if (deadline.remainingMs === 0) {
				failure ??= new Error(`the export did not end within ${timeoutMs} ms`);
				break;
			}
			const outcome = await receiver.send(request);
			health.count(request.points, outcome);
			failure ??= outcome.error;
			// what the receiver rejects it has rejected for good: by the specification the request
			// must not be repeated
			if (outcome.error === undefined) request.accept();
			// a request that was refused says nothing about the others
			else if (outcome.retryable) {
				this.#notBeforeMs = performance.now() + outcome.delayMs;
				break;
			}
			if (this.#ending) break;
		}
		if (failure === undefined && !this.#ending) this.#state.endExport();
		health.settle(failure);
		return failure === undefined;
	}

	/** The export in progress ends with its current request, and resolves `stopped`. */
	stop(): void {
		this.#ending = true;
		this.#stopped.resolve();
	}

	/** Resolves when stop() is called. */
	get stopped(): Promise<void> {
		return this.#stopped.promise;
	}
	readonly #stopped = Promise.withResolvers<void>();

	/** The last export, within `timeoutMs`; none if the one in progress does not end by then. */
	async finish(timeoutMs: number): Promise<void> {
		const deadline = new Deadline(timeoutMs);
		this.stop();
		let hasEnded = this.#running === undefined || (await withinMs(this.#running, deadline.remainingMs));
		if (hasEnded) {
			this.#ending = false;
			hasEnded = await withinMs(this.run(), deadline.remainingMs);
		}
		const { health, receiver } = this.#options;
		if (!hasEnded) health.settle(new Error(`the last export did not end within ${timeoutMs} ms`));
		receiver.close();
	}

	#streams(): AsyncGenerator<MetricStream> {
		const { metrics, onError } = this.#options;
		return metricStreams(metrics, this.#attributes, BigInt(Date.now()) * 1_000_000n, onError);
	}
}
