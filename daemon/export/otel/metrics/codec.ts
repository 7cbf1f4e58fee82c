// SPDX-License-Identifier: Apache-2.0
/** Requests and responses of the metrics service, in protobuf and in JSON. */
import { fromBinary, fromJsonString, toBinary, toJsonString } from '@bufbuild/protobuf';
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
		return Buffer.from(toJsonString(ExportMetricsServiceRequestSchema, message, { enumAsInteger: true }));
	},
	readResponse(body, json) {
		const { partialSuccess } = readResponse(body, json);
		return { rejected: Number(partialSuccess?.rejectedDataPoints ?? 0n), message: partialSuccess?.errorMessage ?? '' };
	},
	count: ({ points }) => points,
};

function readResponse(body: Uint8Array, json: boolean): ExportMetricsServiceResponse {
	if (!json) return fromBinary(ExportMetricsServiceResponseSchema, body);
	const text = Buffer.from(body).toString();
	const options = { ignoreUnknownFields: true };
	return fromJsonString(ExportMetricsServiceResponseSchema, text === '' ? '{}' : text, options);
}
