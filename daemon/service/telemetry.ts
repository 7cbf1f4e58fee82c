// SPDX-License-Identifier: Apache-2.0
/** What this daemon sends over OTLP: opened at the start, and ended with a last export. */
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import type { OtlpStatistics } from '../export/daemon_points.ts';
import type { RecordExport } from '../export/otel/logs/record_export.ts';
import type { OtlpStatus } from '../export/otel/signal_health.ts';
import type { SpanExport } from '../export/otel/spans/span_export.ts';
import { type Telemetry as OpenTelemetry, openTelemetry } from '../export/otel/telemetry.ts';
import type { Metrics } from '../export/registry.ts';
import { instanceId } from '../host/instance_id.ts';
import type { ConnectionEvent, Owner } from '../model/connection.ts';
import { telemetryDrops } from '../model/drops.ts';
import type { TraceIdSource, TraceIds } from '../model/trace_ids.ts';
import { version } from '../version.ts';
import type { SystemClock } from './clock.ts';
import type { Tasks } from './tasks.ts';

export interface TelemetryOptions {
	readonly config: Config;
	readonly metrics: Metrics;
	readonly clock: SystemClock;
	/** Undefined: no connection is tracked, and so none has a span. */
	readonly traceIds: TraceIdSource | undefined;
	/** Returns the id of the container that a process runs in. */
	readonly resolveContainer: (owner: Owner) => string | undefined;
	/** Called for each span that is made. `endNs`: Unix nanoseconds. */
	readonly onSpan: (event: ConnectionEvent, ids: TraceIds, endNs: bigint) => void;
	/** Sets which connections the kernel samples. */
	readonly setSampleThreshold: (threshold: bigint) => void;
	readonly logger: Logger;
	readonly tasks: Tasks;
	/** Called for a metric that could not be read. */
	readonly onMetricError: (error: unknown, metric: string) => void;
}

/** The reasons that telemetry has. */
export const noDrops: Readonly<Record<string, bigint>> = Object.fromEntries(telemetryDrops.map((name) => [name, 0n]));

export class Telemetry {
	readonly #open: OpenTelemetry;
	readonly #tasks: Tasks;

	private constructor(open: OpenTelemetry, tasks: Tasks) {
		this.#open = open;
		this.#tasks = tasks;
	}

	/** @throws {ToascopeError} CONFIG_INVALID if the configuration names no usable receiver */
	static async start({ config, clock, traceIds, tasks, ...options }: TelemetryOptions): Promise<Telemetry> {
		const open = await openTelemetry({
			...options,
			config: config.otel,
			clock: (ns) => clock.toUnixNs(ns),
			traceIds: (connection) => traceIds?.of(connection) ?? { traceId: '', spanId: '' },
			version,
			instanceId: instanceId(config.bpf.pin ?? config.cgroup ?? ''),
		});
		return new Telemetry(open, tasks);
	}

	/** Undefined: spans are not sent. */
	get spans(): SpanExport | undefined {
		return this.#open.spans;
	}

	/** Undefined: connection records are not sent. */
	get records(): RecordExport | undefined {
		return this.#open.records;
	}

	/** What was dropped, by the reason of `toascope_drops_total`; 0 where nothing is sent. */
	drops(): Readonly<Record<string, bigint>> {
		const { spans, records } = this.#open;
		return { ...noDrops, ...spans?.stats().dropped, ...records?.stats().dropped };
	}

	get sendsMetrics(): boolean {
		return this.#open.metrics !== undefined;
	}

	/**
	 * Exports the metrics regularly. To be called after the first collection; `adopted`: the counters
	 * are those of an earlier daemon.
	 */
	async runMetrics(adopted: boolean): Promise<void> {
		const { metrics, metricIntervalMs } = this.#open;
		if (metrics === undefined) return;
		await metrics.begin(adopted);
		this.#tasks.start('otlp_metrics', metricIntervalMs, async () => {
			// a stop does not wait for the receiver
			await Promise.race([metrics.run(), metrics.stopped]);
		});
	}

	/** Counts the telemetry of each signal that is sent. */
	statistics(): OtlpStatistics[] {
		return this.#open.health.map((one) => one.statistics());
	}

	/** Describes each signal that is sent, for `/v1/status`. */
	status(): OtlpStatus[] {
		return this.#open.health.map((one) => one.status());
	}

	/** Lets the tasks of this object end, however the receiver behaves. */
	stop(): void {
		this.#open.metrics?.stop();
	}

	/** The signals that a variable disables, with that variable. */
	get off(): OpenTelemetry['off'] {
		return this.#open.off;
	}

	/** Sends what is left, for at most `timeoutMs`. No task of this object is running any more. */
	async end(timeoutMs: number): Promise<void> {
		const { metrics, spans, records } = this.#open;
		await Promise.allSettled([spans?.shutdown(timeoutMs), records?.shutdown(timeoutMs), metrics?.finish(timeoutMs)]);
	}
}
