// SPDX-License-Identifier: Apache-2.0
/**
 * The connection to the OTLP receiver of one signal. Transport, retries, TLS, headers, compression
 * and timeouts are those of the OpenTelemetry packages, configured by the standard variables.
 */
import type { Agent } from 'node:http';
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { convertLegacyHttpOptions, createOtlpHttpExportDelegate } from '@opentelemetry/otlp-exporter-base/node-http';
import { ToascopeError } from '../../errors.ts';
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
	/** What the receiver says about the items that it rejected. */
	readonly message: string;
}

export interface ReceiverOptions {
	readonly signal: OtelSignal;
	/** Base URL; undefined: OTEL_EXPORTER_OTLP_[SIGNAL_]ENDPOINT applies. */
	readonly endpoint: string | undefined;
	readonly protocol: OtlpProtocol;
	readonly headers: HeadersFile | undefined;
	/** Version of toascope, for User-Agent. */
	readonly version: string;
}

export interface Receiver<Items> {
	readonly url: string;
	/** Sends a request, and retries as the protocol specifies. Never rejects. */
	send(items: Items): Promise<Outcome>;
	/** Ends the requests in progress, where the transport allows it. */
	close(): void;
}

/** What is used of an exporter of the OpenTelemetry packages. */
interface Delegate<Items> {
	export(items: Items, done: (result: ExportResult) => void): void;
	shutdown(): Promise<void>;
}

/** Names of the gRPC services: opentelemetry/proto/collector/SIGNAL/v1. */
const services = {
	metrics: ['metrics', 'MetricsService'],
	traces: ['trace', 'TraceService'],
	logs: ['logs', 'LogsService'],
} as const satisfies Record<OtelSignal, readonly [string, string]>;

/** What the packages call the items of a signal. */
const itemNames = { metrics: 'metric_data_point', traces: 'span', logs: 'log' } as const;

/**
 * Prepares the connection; nothing is sent yet.
 * @throws {ToascopeError} CONFIG_INVALID for an endpoint that is not a URL
 */
export async function openReceiver<Items>(
	options: ReceiverOptions,
	codec: SignalCodec<Items>,
): Promise<Receiver<Items>> {
	try {
		if (options.protocol !== 'grpc') return new HttpReceiver(options, codec);
		// loaded only where it is used: it needs some megabytes of memory
		return new GrpcReceiver(options, codec, await import('@opentelemetry/otlp-grpc-exporter-base'));
	} catch (cause) {
		const { endpoint, signal } = options;
		const named = endpoint === undefined ? `OTEL_EXPORTER_OTLP_[${signal.toUpperCase()}_]ENDPOINT` : 'otel.endpoint';
		throw new ToascopeError('CONFIG_INVALID', `${named} is not a URL${endpoint === undefined ? '' : `: ${endpoint}`}`, {
			hint: 'give a base URL, such as http://127.0.0.1:4318',
			cause,
		});
	}
}

/** Sends by a delegate, and reads what the response says about the items. */
class Sender<Items> {
	readonly #codec: SignalCodec<Items>;
	readonly #json: boolean;
	/** What the response being handled says: the delegate reports its end in the same call. */
	#response = { rejected: 0, message: '' };

	constructor(codec: SignalCodec<Items>, json: boolean) {
		this.#codec = codec;
		this.#json = json;
	}

	readonly serializer = {
		serializeRequest: (items: Items) => this.#codec.serialize(items, this.#json),
		deserializeResponse: (body: Uint8Array) => {
			// a response that cannot be read counts as none rejected
			this.#response = { rejected: 0, message: '' };
			this.#response = this.#codec.readResponse(body, this.#json);
			// the packages would log a partial success with each request
			return {};
		},
	};

	send(delegate: Delegate<Items>, items: Items): Promise<Outcome> {
		return new Promise((resolve) => {
			const failed = (error: ExportError) =>
				resolve({ rejected: 0, error: readable(error), retryable: isRetryable(error), message: '' });
			try {
				delegate.export(items, ({ code, error }) => {
					if (code !== ExportResultCode.SUCCESS) {
						failed(error ?? new Error('the export failed'));
						return;
					}
					const { rejected, message } = this.#response;
					this.#response = { rejected: 0, message: '' };
					resolve({ rejected, message, error: undefined, retryable: false });
				});
			} catch (error) {
				failed(error as Error);
			}
		});
	}
}

/** The status codes of gRPC that the OTLP specification defines as retryable ("Failures"). */
const retryableCodes: ReadonlySet<number> = new Set([
	1, // CANCELLED
	4, // DEADLINE_EXCEEDED
	8, // RESOURCE_EXHAUSTED
	10, // ABORTED
	11, // OUT_OF_RANGE
	14, // UNAVAILABLE
	15, // DATA_LOSS
]);

interface ExportError extends Error {
	/** A number only for a response: a status of HTTP that is not retryable, or any one of gRPC. */
	readonly code?: unknown;
}

const isHttpStatus = ({ name, code }: ExportError) => name === 'OTLPExporterError' && typeof code === 'number';

function isRetryable(error: ExportError): boolean {
	return typeof error.code !== 'number' || (!isHttpStatus(error) && retryableCodes.has(error.code));
}

/** The error with the status of an HTTP response, which its message lacks. */
function readable(error: ExportError): Error {
	return isHttpStatus(error)
		? new Error(`the receiver responded with ${error.code} ${error.message}`.trimEnd())
		: error;
}

class HttpReceiver<Items> implements Receiver<Items> {
	readonly url: string;
	readonly #sender: Sender<Items>;
	readonly #delegate: Delegate<Items>;
	readonly #agents: Agent[] = [];

	constructor({ signal, endpoint, protocol, headers, version }: ReceiverOptions, codec: SignalCodec<Items>) {
		const json = protocol === 'http/json';
		const path = `v1/${signal}`;
		const url = endpoint === undefined ? {} : { url: `${endpoint.replace(/\/$/, '')}/${path}` };
		const fixed = { ...url, userAgent: `toascope/${version}` };
		const options = convertLegacyHttpOptions(fixed, signal.toUpperCase(), path, {
			'Content-Type': json ? 'application/json' : 'application/x-protobuf',
		});
		this.url = new URL(options.url).href;
		this.#sender = new Sender(codec, json);
		this.#delegate = createOtlpHttpExportDelegate(
			{
				...options,
				headers: async () => ({ ...(await options.headers()), ...headers?.read() }),
				agentFactory: async (protocol) => {
					const agent = await options.agentFactory(protocol);
					this.#agents.push(agent);
					return agent;
				},
			},
			this.#sender.serializer,
			`otlp_http_${signal}_exporter`,
			{ name: itemNames[signal], countItems: codec.count },
			undefined,
		);
	}

	send(items: Items): Promise<Outcome> {
		return this.#sender.send(this.#delegate, items);
	}

	close(): void {
		for (const agent of this.#agents) agent.destroy();
	}
}

type GrpcPackage = typeof import('@opentelemetry/otlp-grpc-exporter-base');

class GrpcReceiver<Items> implements Receiver<Items> {
	readonly url: string;
	readonly #sender: Sender<Items>;
	readonly #connect: () => Delegate<Items>;
	#delegate: Delegate<Items>;

	constructor({ signal, endpoint, headers, version }: ReceiverOptions, codec: SignalCodec<Items>, grpc: GrpcPackage) {
		const url = endpoint === undefined ? {} : { url: endpoint };
		const options = grpc.convertLegacyOtlpGrpcOptions(
			{ ...url, userAgent: `toascope/${version}` },
			signal.toUpperCase(),
		);
		const [part, service] = services[signal];
		this.url = options.url;
		this.#sender = new Sender(codec, false);
		this.#connect = () =>
			grpc.createOtlpGrpcExportDelegate(
				{
					...options,
					metadata: () => {
						const metadata = options.metadata();
						for (const [name, value] of Object.entries(headers?.read() ?? {})) metadata.set(name, value);
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
		this.#delegate = this.#connect();
	}

	/**
	 * After a failure the next request dials again: the channel of a receiver that vanished without
	 * a FIN would wait for the kernel to give the connection up, which lasts a quarter of an hour.
	 */
	async send(items: Items): Promise<Outcome> {
		const delegate = this.#delegate;
		const outcome = await this.#sender.send(delegate, items);
		if (outcome.error !== undefined && delegate === this.#delegate) {
			this.#delegate = this.#connect();
			void delegate.shutdown();
		}
		return outcome;
	}

	close(): void {
		void this.#delegate.shutdown();
	}
}
