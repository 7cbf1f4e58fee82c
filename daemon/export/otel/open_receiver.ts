// SPDX-License-Identifier: Apache-2.0
/** Opens the receiver of a signal by its protocol. */
import { ToascopeError } from '../../errors.ts';
import type { Receiver, ReceiverOptions, SignalCodec } from './receiver.ts';

/**
 * Prepares the connection; nothing is sent yet.
 * @throws {ToascopeError} CONFIG_INVALID for an endpoint that is not a URL, or variables that cannot be
 * used
 */
export async function openReceiver<Items>(
	options: ReceiverOptions,
	codec: SignalCodec<Items>,
): Promise<Receiver<Items>> {
	const { endpoint, protocol, signal } = options;
	if (endpoint !== undefined && !URL.canParse(endpoint)) {
		throw new ToascopeError('CONFIG_INVALID', `otel.endpoint is not a URL: ${endpoint}`, {
			hint: 'give a base URL, such as http://127.0.0.1:4318',
		});
	}
	// only the one that is used is loaded: gRPC needs some megabytes of memory
	const Implementation =
		protocol === 'grpc'
			? (await import('./grpc_receiver.ts')).GrpcReceiver
			: (await import('./http_receiver.ts')).HttpReceiver;
	try {
		return new Implementation(options, codec);
	} catch {
		// without the cause, which can have a header
		const name = `OTEL_EXPORTER_OTLP_[${signal.toUpperCase()}_]`;
		throw new ToascopeError('CONFIG_INVALID', `the variables ${name}* cannot be used for ${signal} over ${protocol}`, {
			hint: `check ${name}ENDPOINT, a URL, and ${name}HEADERS, whose values must be printable ASCII`,
		});
	}
}
