// SPDX-License-Identifier: Apache-2.0
/** Requests and responses of the metrics service, in protobuf and in JSON. */
import { fromBinary, fromJsonString, toBinary, toJson } from '@bufbuild/protobuf';
import {
	ExportMetricsServiceRequestSchema,
	type ExportMetricsServiceResponse,
	ExportMetricsServiceResponseSchema,
} from '../proto/metrics_service.gen.ts';
import type { SignalCodec } from '../receiver.ts';
import type { MetricsRequest } from './requests.ts';

export const metricsCodec: SignalCodec<MetricsRequest> = {
	serialize({ message }, json) {
		if (!json) return toBinary(ExportMetricsServiceRequestSchema, message);
		// OTLP specification, "JSON Protobuf Encoding": enumerations are numbers
		const request = toJson(ExportMetricsServiceRequestSchema, message, { enumAsInteger: true });
		for (const exemplar of exemplarsOf(request as unknown as RequestJson)) {
			exemplar.traceId = hexOf(exemplar.traceId);
			exemplar.spanId = hexOf(exemplar.spanId);
		}
		return Buffer.from(JSON.stringify(request));
	},
	readResponse(body, json) {
		const { partialSuccess } = readResponse(body, json);
		return { rejected: Number(partialSuccess?.rejectedDataPoints ?? 0n), message: partialSuccess?.errorMessage ?? '' };
	},
	count: ({ points }) => points,
};

/** What is read of a request in JSON. */
interface RequestJson {
	readonly resourceMetrics: readonly {
		readonly scopeMetrics: readonly { readonly metrics: readonly MetricJson[] }[];
	}[];
}

interface MetricJson {
	readonly histogram?: { readonly dataPoints?: readonly { readonly exemplars?: readonly ExemplarJson[] }[] };
}

interface ExemplarJson {
	traceId: string;
	spanId: string;
}

function* exemplarsOf({ resourceMetrics }: RequestJson): Generator<ExemplarJson> {
	for (const { scopeMetrics } of resourceMetrics) {
		for (const { metrics } of scopeMetrics) {
			for (const { histogram } of metrics) {
				for (const { exemplars = [] } of histogram?.dataPoints ?? []) yield* exemplars;
			}
		}
	}
}

/** By the same section, ids are in hexadecimal, while all other bytes of protobuf are in Base64. */
function hexOf(base64: string): string {
	return Buffer.from(base64, 'base64').toString('hex');
}

function readResponse(body: Uint8Array, json: boolean): ExportMetricsServiceResponse {
	if (!json) return fromBinary(ExportMetricsServiceResponseSchema, body);
	const text = Buffer.from(body).toString();
	const options = { ignoreUnknownFields: true };
	return fromJsonString(ExportMetricsServiceResponseSchema, text === '' ? '{}' : text, options);
}
