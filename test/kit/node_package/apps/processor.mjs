// SPDX-License-Identifier: Apache-2.0
/** As examples/tracing.mjs, with the span processor in place of the hook. */
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { BatchSpanProcessor } from '@opentelemetry/sdk-trace';
import { ToascopeSpanProcessor } from '@toascope/node';

new NodeSDK({
	spanProcessors: [
		new ToascopeSpanProcessor(),
		new BatchSpanProcessor({ exporter: new OTLPTraceExporter(), scheduledDelayMillis: 100 }),
	],
	instrumentations: [new HttpInstrumentation()],
}).start();
