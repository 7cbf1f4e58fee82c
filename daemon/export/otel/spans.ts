// SPDX-License-Identifier: Apache-2.0
/**
 * Spans over OTLP: what the rest of the daemon sees of them. The SDK is loaded only when they are switched on, for it
 * takes some 20 MB of memory.
 */
import type { Logger } from 'pino';
import { logLines, tell } from '../../log_lines.ts';
import type { ConnectionEvent, Owner } from '../../model/connection.ts';
import { type OtlpProtocol, readOtelEnvironment } from '../../otel_environment.ts';

export interface SpanOptions {
	/** Base URL of the collector; undefined leaves it to OTEL_EXPORTER_OTLP_[TRACES_]ENDPOINT. */
	readonly endpoint?: string | undefined;
	/** Undefined leaves it to OTEL_EXPORTER_OTLP_[TRACES_]PROTOCOL, and else to http/protobuf. */
	readonly protocol?: OtlpProtocol | undefined;
	/** Nanoseconds since 1970 for CLOCK_MONOTONIC nanoseconds. */
	readonly clock: (monotonicNs: bigint) => bigint;
	/** The id of the owner's container; called when an owner is first seen, and again at the close. */
	readonly resolveContainer: (owner: Owner) => string | undefined;
	readonly logger: Logger;
	/** Version of toascope. */
	readonly version: string;
}

export interface SpanStats {
	/** Taken by the collector. */
	readonly exported: bigint;
	/** Made and not yet settled: at most OTEL_BSP_MAX_QUEUE_SIZE (2048). */
	readonly pending: number;
	/** Lost, by the reason of `toascope_drops_total`. Spans that the sampler left out are not lost. */
	readonly dropped: { readonly span_queue_full: bigint; readonly span_export_failed: bigint };
}

export interface SpanExport {
	/** Takes note of an event; makes the span when it closes a connection with a client. Never throws, never waits. */
	onEvent(event: ConnectionEvent): void;
	stats(): SpanStats;
	/** Sends what is left, for at most `timeoutMs`; afterwards nothing of the exporter keeps the process alive. */
	shutdown(timeoutMs: number): Promise<void>;
}

/**
 * Starts the export. The standard OTEL_* variables hold for all that `options` leaves open. Undefined: they forbid spans, nothing is
 * loaded, and nobody needs to hear of connections.
 * @throws ToascopeError CONFIG_INVALID for an endpoint that is no URL
 */
export async function startSpans(options: SpanOptions): Promise<SpanExport | undefined> {
	const environment = readOtelEnvironment(process.env);
	for (const problem of environment.problems) tell(options.logger, logLines.otelVariable, { ...problem });
	if (environment.spansOff !== undefined) {
		tell(options.logger, logLines.spansOff, { by: environment.spansOff });
		return undefined;
	}
	const { startSdk } = await import('./sdk.ts');
	return startSdk(options, environment);
}
