// SPDX-License-Identifier: Apache-2.0
/** Requests and responses of the metrics service, in protobuf and in JSON. */
import { toBinary } from '@bufbuild/protobuf';
import { readResponse, toOtlpJson } from '../otlp_json.ts';
import { ExportMetricsServiceRequestSchema, ExportMetricsServiceResponseSchema } from '../proto/metrics_service.gen.ts';
import type { SignalCodec } from '../receiver.ts';
import type { MetricsRequest } from './requests.ts';

export const metricsCodec: SignalCodec<MetricsRequest> = {
	serialize({ message }, json) {
		const schema = ExportMetricsServiceRequestSchema;
		return json ? toOtlpJson(schema, message) : toBinary(schema, message);
	},
	readResponse(body, json) {
		const { partialSuccess } = readResponse(ExportMetricsServiceResponseSchema, body, json);
		return { rejected: Number(partialSuccess?.rejectedDataPoints ?? 0n), message: partialSuccess?.errorMessage ?? '' };
	},
	count: ({ points }) => points,
};
