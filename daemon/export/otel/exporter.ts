// SPDX-License-Identifier: Apache-2.0
/** The SDK's last stage: serializes a batch of spans, sends it, and counts the outcome of each. */
import { type ExportResult, ExportResultCode } from '@opentelemetry/core';
import { convertLegacyHttpOptions } from '@opentelemetry/otlp-exporter-base/node-http';
import { convertLegacyOtlpGrpcOptions } from '@opentelemetry/otlp-grpc-exporter-base';
import {
	type IExportTraceServiceResponse,
	type ISerializer,
	JsonTraceSerializer,
	ProtobufTraceSerializer,
} from '@opentelemetry/otlp-transformer';
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace';
import type { OtlpProtocol } from '../../otel_environment.ts';
import { createGrpcChannel } from './grpc_channel.ts';
import { createHttpChannel } from './http_channel.ts';
import { createTransport, type Transport } from './transport.ts';

/** The outcome of one batch. */
export interface BatchOutcome {
	readonly exported: number;
	readonly failed: number;
	readonly error: Error | undefined;
}

export interface CollectorConnection {
	readonly url: string;
	readonly serializer: ISerializer<ReadableSpan[], IExportTraceServiceResponse>;
	readonly transport: Transport;
}

const GRPC_PATH = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';

/** `endpoint` is a base URL, like OTEL_EXPORTER_OTLP_ENDPOINT. */
function tracesUrl(endpoint: string | undefined): { url?: string } {
	return endpoint === undefined ? {} : { url: `${endpoint.replace(/\/$/, '')}/v1/traces` };
}

/**
 * Prepares the transport to the collector. The OTEL_EXPORTER_OTLP_* variables apply to everything
 * that `endpoint` does not set.
 */
export async function openCollectorConnection(
	protocol: OtlpProtocol,
	endpoint: string | undefined,
): Promise<CollectorConnection> {
	if (protocol === 'grpc') {
		const options = convertLegacyOtlpGrpcOptions(endpoint === undefined ? {} : { url: endpoint }, 'TRACES');
		const transport = createTransport(createGrpcChannel(options, GRPC_PATH), options.timeoutMillis);
		return { url: options.url, serializer: ProtobufTraceSerializer, transport };
	}
	const json = protocol === 'http/json';
	const options = convertLegacyHttpOptions(tracesUrl(endpoint), 'TRACES', 'v1/traces', {
		'Content-Type': json ? 'application/json' : 'application/x-protobuf',
	});
	const transport = createTransport(await createHttpChannel(options), options.timeoutMillis);
	return { url: options.url, serializer: json ? JsonTraceSerializer : ProtobufTraceSerializer, transport };
}

/**
 * Creates an exporter that sends over this connection. `onBatchDone` is called once for each batch.
 */
export function createExporter(
	{ serializer, transport }: CollectorConnection,
	onBatchDone: (outcome: BatchOutcome) => void,
): SpanExporter {
	const inFlight = new Set<Promise<void>>();

	/**
	 * The spans that the collector reports as rejected in a request that it accepted. A response
	 * that cannot be parsed counts as none rejected.
	 */
	function readPartialSuccess(body: Uint8Array): { rejected: number; reason: string } {
		try {
			const { partialSuccess } = serializer.deserializeResponse(body);
			return { rejected: Number(partialSuccess?.rejectedSpans ?? 0), reason: partialSuccess?.errorMessage ?? '' };
		} catch {
			return { rejected: 0, reason: '' };
		}
	}

	async function send(spans: ReadableSpan[]): Promise<BatchOutcome> {
		try {
			const request = serializer.serializeRequest(spans);
			if (request === undefined) throw new Error('the spans could not be serialized');
			const { rejected, reason } = readPartialSuccess(await transport.send(request));
			const failed = Math.min(Math.max(rejected, 0), spans.length);
			const error = failed > 0 ? new Error(`the collector rejected ${failed} spans: ${reason}`) : undefined;
			return { exported: spans.length - failed, failed, error };
		} catch (error) {
			return { exported: 0, failed: spans.length, error: error as Error };
		}
	}

	return {
		export(spans: ReadableSpan[], done: (result: ExportResult) => void): void {
			const sending = send(spans).then((outcome) => {
				inFlight.delete(sending);
				onBatchDone(outcome);
				// always success: failures are counted and logged already, and the SDK would log
				// them again
				done({ code: ExportResultCode.SUCCESS });
			});
			inFlight.add(sending);
		},
		async shutdown() {
			await Promise.all(inFlight);
			transport.close();
		},
	};
}
