// SPDX-License-Identifier: Apache-2.0
/** Why a request failed, from what the OpenTelemetry packages report. */
import { readRetryDelayMs } from './retry_info.ts';

export interface ExportError extends Error {
	/**
	 * A number only for a response: a status of HTTP that is not retryable, or any one of gRPC. A
	 * string is an errno, or a code of Node.js.
	 */
	readonly code?: unknown;
	/** The body of such a response of HTTP. */
	readonly data?: unknown;
	/** The trailers of a response of gRPC. */
	readonly metadata?: { get(name: string): readonly unknown[] };
}

/** The codes of gRPC that the OTLP specification defines as retryable ("Failures"). */
const retryableCodes: ReadonlySet<unknown> = new Set([
	1, // CANCELLED
	4, // DEADLINE_EXCEEDED
	10, // ABORTED
	11, // OUT_OF_RANGE
	14, // UNAVAILABLE
	15, // DATA_LOSS
]);

/**
 * Retryable only with a delay (RetryInfo): without one, servers report with it that a request is too
 * large.
 */
const resourceExhausted = 8;

const isHttpStatus = ({ name, code }: ExportError) => name === 'OTLPExporterError' && typeof code === 'number';

export function isRetryable(error: ExportError): boolean {
	if (isHttpStatus(error)) return false;
	if (error.code === resourceExhausted) return retryDelayMs(error) !== undefined;
	// of the network, of TLS: the receiver has not refused the request, which did not reach it
	if (typeof error.code === 'string') return true;
	// the packages have no code for 429, 502, 503, 504 and for their own time limit
	return retryableCodes.has(error.code) || /retryable status|timed out/.test(error.message);
}

/**
 * How long the receiver wants to be left alone: the google.rpc.RetryInfo of a response of gRPC, at most
 * an hour, so that a receiver cannot end the export by mistake. Undefined: it does not say.
 */
export function retryDelayMs({ metadata }: ExportError): number | undefined {
	const [details] = metadata?.get('grpc-status-details-bin') ?? [];
	if (!(details instanceof Uint8Array)) return undefined;
	try {
		return readRetryDelayMs(details);
	} catch {
		// a message that cannot be read says nothing
		return undefined;
	}
}

/** The error with the status and the beginning of the body of an HTTP response. */
export function readable(error: ExportError): Error {
	if (/retryable status/.test(error.message)) return new Error('the receiver is busy (429, 502, 503 or 504)');
	if (!isHttpStatus(error)) return error;
	const body = printable(String(error.data ?? ''));
	return new Error(
		`the receiver responded with ${error.code} ${error.message}${body === '' ? '' : `: ${body}`}`.trimEnd(),
	);
}

function printable(text: string): string {
	return text
		.replaceAll(/[^\x20-\x7e]+/g, ' ')
		.trim()
		.slice(0, 200);
}
