// SPDX-License-Identifier: Apache-2.0
/** OTLP over gRPC: one unary call for each attempt, with messages that are already serialized. */
import { type ChannelCredentials, Client, compressionAlgorithms, type Metadata, status } from '@grpc/grpc-js';
import type { Attempt, Channel } from './transport.ts';

export interface GrpcOptions {
	/** `host:port`. */
	readonly url: string;
	readonly compression: string;
	readonly metadata: () => Metadata;
	readonly credentials: () => ChannelCredentials;
}

/**
 * The codes that the OTLP specification defines as retryable. RESOURCE_EXHAUSTED is omitted: it is
 * retryable only with a delay, which grpc-js does not expose.
 */
const retryableCodes = new Set<number>([
	status.CANCELLED,
	status.DEADLINE_EXCEEDED,
	status.ABORTED,
	status.OUT_OF_RANGE,
	status.UNAVAILABLE,
	status.DATA_LOSS,
]);

const asIs = (message: Buffer): Buffer => message;

/** A channel that calls `path` (`/package.Service/Method`). */
export function createGrpcChannel(options: GrpcOptions, path: string): Channel {
	const { gzip, identity } = compressionAlgorithms;
	const client = new Client(options.url, options.credentials(), {
		'grpc.default_compression_algorithm': options.compression === 'gzip' ? gzip : identity,
	});

	function attempt(message: Uint8Array, signal: AbortSignal): Promise<Attempt> {
		return new Promise((resolve) => {
			const call = client.makeUnaryRequest(
				path,
				asIs,
				asIs,
				Buffer.from(message),
				options.metadata(),
				(error, body) => {
					signal.removeEventListener('abort', cancel);
					if (error === null) resolve({ status: 'done', body: body ?? Buffer.alloc(0) });
					else resolve({ status: retryableCodes.has(error.code) ? 'retry' : 'failed', error });
				},
			);
			const cancel = () => call.cancel();
			signal.addEventListener('abort', cancel);
			// a signal that has already aborted does not call its listeners
			if (signal.aborted) cancel();
		});
	}

	return { attempt, close: () => client.close() };
}
