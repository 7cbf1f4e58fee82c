// SPDX-License-Identifier: Apache-2.0
/**
 * The connection to the OTLP receiver of one signal. Transport, retries, TLS, headers, compression
 * and timeouts are those of the OpenTelemetry packages, configured by the standard variables.
 */
import type { OtelSignal, OtlpProtocol } from '../../otel_environment.ts';
import type { HeadersFile } from './headers_file.ts';

/** How the items of a signal are written, and what a response says about them. */
export interface SignalCodec<Items> {
	/** @throws {Error} the items cannot be written */
	serialize(items: Items, json: boolean): Uint8Array;
	/** `rejected`: items that were rejected; 0 and a message: a warning. */
	readResponse(body: Uint8Array, json: boolean): { readonly rejected: number; readonly message: string };
	count(items: Items): number;
}

/** What became of a request. */
export interface Outcome {
	/** Items that the receiver rejected in a request that it accepted (partial success). */
	readonly rejected: number;
	/** Why the request failed; undefined: the receiver accepted it. */
	readonly error: Error | undefined;
	/** A later attempt can succeed: the receiver has not refused the request itself. */
	readonly retryable: boolean;
	/** The receiver demands that a later attempt waits at least so long (RetryInfo); 0: it does not. */
	readonly delayMs: number;
	/** What the receiver says about the items that it rejected. */
	readonly message: string;
}

export interface ReceiverOptions {
	readonly signal: OtelSignal;
	/** Base URL; undefined: OTEL_EXPORTER_OTLP_[SIGNAL_]ENDPOINT applies. */
	readonly endpoint: string | undefined;
	readonly protocol: OtlpProtocol;
	readonly headers: HeadersFile | undefined;
	/**
	 * The longest time for a request with its retries; OTEL_EXPORTER_OTLP_[SIGNAL_]TIMEOUT can be
	 * less.
	 */
	readonly limitMs: number;
	/** Version of toascope, for User-Agent. */
	readonly version: string;
}

export interface Receiver<Items> {
	readonly url: string;
	/** Sends a request, and retries as the protocol specifies. Never rejects. */
	send(items: Items): Promise<Outcome>;
	/** To be called at the end. */
	close(): void;
}
