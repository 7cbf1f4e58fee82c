// SPDX-License-Identifier: Apache-2.0
/** OTLP/gRPC. */
import type { ChannelCredentials } from '@grpc/grpc-js';
import { convertLegacyOtlpGrpcOptions, createOtlpGrpcExportDelegate } from '@opentelemetry/otlp-grpc-exporter-base';
import type { OtelSignal } from '../../otel_environment.ts';
import type { HeadersFile } from './headers_file.ts';
import type { Outcome, Receiver, ReceiverOptions, SignalCodec } from './receiver.ts';
import { type Delegate, itemNames, Sender } from './sender.ts';

/** Names of the gRPC services: opentelemetry/proto/collector/SIGNAL/v1. */
const services = {
	metrics: ['metrics', 'MetricsService'],
	traces: ['trace', 'TraceService'],
	logs: ['logs', 'LogsService'],
} as const satisfies Record<OtelSignal, readonly [string, string]>;

export class GrpcReceiver<Items> implements Receiver<Items> {
	readonly url: string;
	readonly #sender: Sender<Items>;
	readonly #connect: () => Delegate<Items>;
	readonly #headers: HeadersFile | undefined;
	readonly #limitMs: number;
	#delegate: Delegate<Items>;
	/** The headers that the delegate sends: it reads them only once. */
	#sentHeaders: object | undefined;

	constructor({ signal, endpoint, headers, limitMs, version }: ReceiverOptions, codec: SignalCodec<Items>) {
		const url = endpoint === undefined ? {} : { url: endpoint };
		const fixed = { ...url, userAgent: `toascope/${version}` };
		const options = convertLegacyOtlpGrpcOptions(fixed, signal.toUpperCase());
		const timeoutMillis = Math.min(options.timeoutMillis, limitMs);
		// refuses what gRPC cannot send
		options.metadata();
		const [part, service] = services[signal];
		this.url = options.url;
		this.#headers = headers;
		this.#limitMs = timeoutMillis;
		this.#sender = new Sender(codec, false);
		this.#connect = () => {
			const sent = headers?.read();
			this.#sentHeaders = sent;
			return createOtlpGrpcExportDelegate(
				{
					...options,
					timeoutMillis,
					credentials: () => distinct(options.credentials()),
					metadata: () => {
						const metadata = options.metadata();
						for (const [name, value] of Object.entries(sent ?? {})) metadata.set(name, value);
						return metadata;
					},
				},
				this.#sender.serializer,
				`otlp_grpc_${signal}_exporter`,
				{ name: itemNames[signal], countItems: codec.count },
				undefined,
				service,
				`/opentelemetry.proto.collector.${part}.v1.${service}/Export`,
			);
		};
		this.#delegate = this.#connect();
	}

	/**
	 * After a failure the next request dials again: the channel of a receiver that vanished without
	 * a FIN would wait for the kernel to give the connection up, which lasts a quarter of an hour.
	 */
	async send(items: Items): Promise<Outcome> {
		try {
			if (this.#headers?.read() !== this.#sentHeaders) this.#reconnect(this.#delegate);
		} catch (error) {
			return { rejected: 0, error: error as Error, retryable: true, delayMs: 0, message: '' };
		}
		const delegate = this.#delegate;
		const outcome = await this.#sender.send(delegate, items, this.#limitMs, () => this.#reconnect(delegate));
		if (outcome.error !== undefined) this.#reconnect(delegate);
		return outcome;
	}

	#reconnect(from: Delegate<Items>): void {
		if (from !== this.#delegate) return;
		this.#delegate = this.#connect();
		void from.shutdown();
	}

	/** No further request is sent; one that is in progress ends at its time limit. */
	close(): void {
		void this.#delegate.shutdown();
	}
}

/**
 * grpc-js shares a connection between all clients with equal credentials and the same address, also
 * with one that is closing: a new client would get the connection that does not answer.
 */
function distinct(credentials: ChannelCredentials): ChannelCredentials {
	return Object.assign(credentials, { _equals: (other: ChannelCredentials) => other === credentials });
}
