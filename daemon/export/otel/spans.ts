// SPDX-License-Identifier: Apache-2.0
/**
 * Spans over OTLP: what the rest of the daemon sees of them. The SDK is loaded only when they are switched on, for it
 * takes some 20 MB of memory.
 */
import type { Logger } from 'pino';
import { logLines, tell } from '../../log_lines.ts';
import type { ConnectionEvent, Owner } from '../../model/connection.ts';

export type OtlpProtocol = 'http/protobuf' | 'http/json' | 'grpc';

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

const switchedOff: SpanExport = {
	onEvent() {},
	stats: () => ({ exported: 0n, pending: 0, dropped: { span_queue_full: 0n, span_export_failed: 0n } }),
	async shutdown() {},
};

/**
 * Starts the export. The standard OTEL_* variables hold for all that `options` leaves open; with OTEL_SDK_DISABLED=true or
 * OTEL_TRACES_EXPORTER=none nothing is loaded and no span made.
 * @throws ToascopeError CONFIG_INVALID for an endpoint that is no URL
 */
export async function startSpans(options: SpanOptions): Promise<SpanExport> {
	const { OTEL_SDK_DISABLED: disabled, OTEL_TRACES_EXPORTER: exporter } = process.env;
	if (disabled?.trim().toLowerCase() === 'true' || exporter?.trim() === 'none') {
		tell(options.logger, logLines.spansOff);
		return switchedOff;
	}
	const { startSdk } = await import('./sdk.ts');
	return startSdk(options);
}
