// SPDX-License-Identifier: Apache-2.0
/** The SDK's last stage: serializes a batch of spans, sends it, and counts what became of each span. */
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

/** What is told of each batch. */
export interface BatchOutcome {
	readonly exported: number;
	readonly failed: number;
	readonly error: Error | undefined;
}

export interface Wire {
	readonly url: string;
	readonly serializer: ISerializer<ReadableSpan[], IExportTraceServiceResponse>;
	readonly transport: Transport;
}

const GRPC_PATH = '/opentelemetry.proto.collector.trace.v1.TraceService/Export';

/** `endpoint` is a base, as OTEL_EXPORTER_OTLP_ENDPOINT is. */
function tracesUrl(endpoint: string | undefined): { url?: string } {
	return endpoint === undefined ? {} : { url: `${endpoint.replace(/\/$/, '')}/v1/traces` };
}

/** The way to the collector; what `endpoint` leaves open is taken from the OTEL_EXPORTER_OTLP_* variables. */
export async function openWire(protocol: OtlpProtocol, endpoint: string | undefined): Promise<Wire> {
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

/** An exporter over `wire`; `settled` is called once for each batch. */
export function createExporter(
	{ serializer, transport }: Wire,
	settled: (outcome: BatchOutcome) => void,
): SpanExporter {
	const underWay = new Set<Promise<void>>();

	/** What the collector says it left out of a request that it took. An answer that can't be read left out nothing. */
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
				underWay.delete(sending);
				settled(outcome);
				// Success in any case: a failure is counted and told already, and the SDK would tell it again.
				done({ code: ExportResultCode.SUCCESS });
			});
			underWay.add(sending);
		},
		async shutdown() {
			await Promise.all(underWay);
			transport.close();
		},
	};
}
