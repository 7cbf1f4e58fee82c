// SPDX-License-Identifier: Apache-2.0
/** OpenTelemetry with the client on the SERVER spans: `node --import ./tracing.mjs app.mjs`. */
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { NodeSDK } from '@opentelemetry/sdk-node';
import { incomingSpanHook } from '@toascope/node';

const sdk = new NodeSDK({
	instrumentations: [new HttpInstrumentation({ startIncomingSpanHook: incomingSpanHook })],
});
sdk.start();
process.once('SIGTERM', () => sdk.shutdown().finally(() => process.exit()));
