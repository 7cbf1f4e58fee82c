// SPDX-License-Identifier: Apache-2.0
/**
 * The connection to the OTLP receiver of one signal. Transport, retries, TLS, headers, compression
 * and timeouts are those of the OpenTelemetry packages, configured by the standard variables.
 */
import type { Agent } from 'node:http';
import type { ChannelCredentials } from '@grpc/grpc-js';
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
	/** To be called at the end. */
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
	// loaded only where it is used: it needs some megabytes of memory
	const grpc = protocol === 'grpc' ? await import('@opentelemetry/otlp-grpc-exporter-base') : undefined;
	try {
		return grpc === undefined ? new HttpReceiver(options, codec) : new GrpcReceiver(options, codec, grpc);
	} catch {
		// without the cause, which can have a header
		const name = `OTEL_EXPORTER_OTLP_[${signal.toUpperCase()}_]`;
		throw new ToascopeError('CONFIG_INVALID', `the variables ${name}* cannot be used for ${signal} over ${protocol}`, {
			hint: `check ${name}ENDPOINT, a URL, and ${name}HEADERS, whose values must be printable ASCII`,
		});
	}
}

/** Sends by a delegate, within its time limit, and reads what the response says about the items. */
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

	/**
	 * `onTimeout`: ends the connections. The limit of the packages does not cover connecting, nor a
	 * response that arrives byte by byte.
	 */
	send(delegate: Delegate<Items>, items: Items, limitMs: number, onTimeout: () => void): Promise<Outcome> {
		return new Promise((resolve) => {
			const settle = (outcome: Outcome) => {
				clearTimeout(limit);
				resolve(outcome);
			};
			const failed = (error: ExportError) =>
				settle({ rejected: 0, error: readable(error), retryable: isRetryable(error), message: '' });
			const limit = setTimeout(() => {
				const error = new Error(`no response within ${limitMs} ms`);
				settle({ rejected: 0, error, retryable: true, message: '' });
				onTimeout();
			}, limitMs + graceMs);
			try {
				delegate.export(items, ({ code, error }) => {
					if (code !== ExportResultCode.SUCCESS) {
						failed(error ?? new Error('the export failed'));
						return;
					}
					const { rejected, message } = this.#response;
					this.#response = { rejected: 0, message: '' };
					settle({ rejected, message, error: undefined, retryable: false });
				});
			} catch (error) {
				failed(error as Error);
			}
		});
	}
}

/** How much longer than the limit of the packages a request can take: theirs says more. */
const graceMs = 500;

interface ExportError extends Error {
	/**
	 * A number only for a response: a status of HTTP that is not retryable, or any one of gRPC. A
	 * string is an errno, or a code of Node.js.
	 */
	readonly code?: unknown;
	/** The body of such a response of HTTP. */
	readonly data?: unknown;
}

/**
 * What the OTLP specification defines as retryable ("Failures"), and a network that does not answer.
 * RESOURCE_EXHAUSTED is not: it is retryable only with a delay, which the packages do not pass on,
 * and servers report with it that a request is too large.
 */
const retryableCodes: ReadonlySet<unknown> = new Set([
	1, // CANCELLED
	4, // DEADLINE_EXCEEDED
	10, // ABORTED
	11, // OUT_OF_RANGE
	14, // UNAVAILABLE
	15, // DATA_LOSS
	'ECONNRESET',
	'ECONNREFUSED',
	'EPIPE',
	'ETIMEDOUT',
	'EAI_AGAIN',
	'ENOTFOUND',
	'ENETUNREACH',
	'EHOSTUNREACH',
]);

const isHttpStatus = ({ name, code }: ExportError) => name === 'OTLPExporterError' && typeof code === 'number';

function isRetryable(error: ExportError): boolean {
	if (isHttpStatus(error)) return false;
	// the packages have no code for 429, 502, 503, 504 and for their own time limit
	return retryableCodes.has(error.code) || /retryable status|timed out/.test(error.message);
}

/** The error with the status and the beginning of the body of an HTTP response. */
function readable(error: ExportError): Error {
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

class HttpReceiver<Items> implements Receiver<Items> {
	readonly url: string;
	readonly #sender: Sender<Items>;
	readonly #delegate: Delegate<Items>;
	readonly #agents: Agent[] = [];
	readonly #limitMs: number;

	constructor({ signal, endpoint, protocol, headers, version }: ReceiverOptions, codec: SignalCodec<Items>) {
		const json = protocol === 'http/json';
		const path = `v1/${signal}`;
		const url = endpoint === undefined ? {} : { url: urlBelow(endpoint, path) };
		const fixed = { ...url, userAgent: `toascope/${version}` };
		const options = convertLegacyHttpOptions(fixed, signal.toUpperCase(), path, {
			'Content-Type': json ? 'application/json' : 'application/x-protobuf',
		});
		this.url = new URL(options.url).href;
		this.#limitMs = options.timeoutMillis;
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
		return this.#sender.send(this.#delegate, items, this.#limitMs, () => this.close());
	}

	/** Ends the requests in progress. */
	close(): void {
		for (const agent of this.#agents) agent.destroy();
	}
}

function urlBelow(base: string, path: string): string {
	const url = new URL(base);
	url.pathname = `${url.pathname.replace(/\/$/, '')}/${path}`;
	return url.href;
}

type GrpcPackage = typeof import('@opentelemetry/otlp-grpc-exporter-base');

class GrpcReceiver<Items> implements Receiver<Items> {
	readonly url: string;
	readonly #sender: Sender<Items>;
	readonly #connect: () => Delegate<Items>;
	readonly #headers: HeadersFile | undefined;
	readonly #limitMs: number;
	#delegate: Delegate<Items>;
	/** The headers that the delegate sends: it reads them only once. */
	#sentHeaders: object | undefined;

	constructor({ signal, endpoint, headers, version }: ReceiverOptions, codec: SignalCodec<Items>, grpc: GrpcPackage) {
		const url = endpoint === undefined ? {} : { url: endpoint };
		const options = grpc.convertLegacyOtlpGrpcOptions(
			{ ...url, userAgent: `toascope/${version}` },
			signal.toUpperCase(),
		);
		// refuses what gRPC cannot send
		options.metadata();
		const [part, service] = services[signal];
		this.url = options.url;
		this.#headers = headers;
		this.#limitMs = options.timeoutMillis;
		this.#sender = new Sender(codec, false);
		this.#connect = () => {
			const sent = headers?.read();
			this.#sentHeaders = sent;
			return grpc.createOtlpGrpcExportDelegate(
				{
					...options,
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
			return { rejected: 0, error: error as Error, retryable: true, message: '' };
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
