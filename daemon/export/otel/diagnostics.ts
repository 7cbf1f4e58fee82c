// SPDX-License-Identifier: Apache-2.0
/** Routes the diagnostics of the OpenTelemetry packages to our log. */
import { DiagLogLevel, diag } from '@opentelemetry/api';
import { diagLogLevelFromString } from '@opentelemetry/core';
import type { Logger } from 'pino';
import type { OtelEnvironment } from '../../otel_environment.ts';

export function routeDiagnostics(logger: Logger, { logLevel }: OtelEnvironment): void {
	const log =
		(level: 'warn' | 'info' | 'debug') =>
		(message: string, ...details: unknown[]) => {
			logger[level](details.length > 0 ? { details: details.map(String) } : {}, `OpenTelemetry: ${message}`);
		};
	diag.setLogger(
		{ error: log('warn'), warn: log('warn'), info: log('info'), debug: log('debug'), verbose: log('debug') },
		{
			logLevel: diagLogLevelFromString(logLevel) ?? DiagLogLevel.WARN,
			suppressOverrideMessage: true,
		},
	);
}
