// SPDX-License-Identifier: Apache-2.0
/**
 * Starts the export of spans over OTLP. The SDK is loaded only if spans are switched on, because it
 * needs some 20 MB of memory.
 */

import { logLine } from '../../log_line.ts';
import { logLines } from '../../log_lines.ts';
import { readOtelEnvironment } from '../../otel_environment.ts';
import type { SpanExport, SpanOptions } from './span_export.ts';

/**
 * Starts the export. The standard OTEL_* variables apply to everything that `options` does not set.
 * Returns undefined if they forbid spans: nothing is loaded, and events of connections are not
 * needed.
 * @throws ToascopeError CONFIG_INVALID for an endpoint that is not a URL
 */
export async function startSpans(options: SpanOptions): Promise<SpanExport | undefined> {
	const environment = readOtelEnvironment(process.env);
	for (const problem of environment.problems) logLine(options.logger, logLines.otelVariable, { ...problem });
	if (environment.spansOff !== undefined) {
		logLine(options.logger, logLines.spansOff, { by: environment.spansOff });
		return undefined;
	}
	const { startSdk } = await import('./sdk.ts');
	return startSdk(options, environment);
}
