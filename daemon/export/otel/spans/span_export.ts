// SPDX-License-Identifier: Apache-2.0
/** The interface between the daemon and its export of spans. */
import type { Resource } from '@opentelemetry/resources';
import type { ReadableSpan } from '@opentelemetry/sdk-trace';
import type { Logger } from 'pino';
import type { Connection, ConnectionEvent, Owner } from '../../../model/connection.ts';
import type { TraceIds } from '../../../model/trace_ids.ts';
import type { OtelEnvironment } from '../../../otel_environment.ts';
import type { Receiver } from '../receiver.ts';
import type { SignalHealth } from '../signal_health.ts';
import type { SpanSampling } from './span_sampling.ts';

export interface SpanOptions {
	readonly receiver: Receiver<ReadableSpan[]>;
	readonly health: SignalHealth;
	readonly resource: Resource;
	readonly environment: OtelEnvironment;
	/** Converts CLOCK_MONOTONIC nanoseconds to nanoseconds since 1970. */
	readonly clock: (monotonicNs: bigint) => bigint;
	/** The ids of a connection's span. */
	readonly traceIds: (connection: Connection) => TraceIds;
	/** Returns the id of the owner's container; called when an owner is first seen and at close. */
	readonly resolveContainer: (owner: Owner) => string | undefined;
	readonly logger: Logger;
	/** Version of toascope. */
	readonly version: string;
	readonly sampling: SpanSampling;
}

export interface SpanStats {
	/** Made, but neither exported nor dropped yet: at most OTEL_BSP_MAX_QUEUE_SIZE (2048). */
	readonly pending: number;
	/**
	 * Dropped spans, by the reason of `toascope_drops_total`. Connections that are not sampled have
	 * no span, and nothing is dropped.
	 */
	readonly dropped: { readonly span_queue_full: bigint; readonly span_export_failed: bigint };
}

export interface SpanExport {
	readonly sampling: SpanSampling;
	/** Handles an event; makes the span when it closes a sampled connection. Never waits. */
	onEvent(event: ConnectionEvent): void;
	stats(): SpanStats;
	/** Sends the remaining spans, for at most `timeoutMs`. */
	shutdown(timeoutMs: number): Promise<void>;
}
