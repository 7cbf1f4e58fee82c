// SPDX-License-Identifier: Apache-2.0
/** Spans. */
import type { LogLine } from '../log_line.ts';

export const spanLines = {
	exportingSpans: {
		level: 'info',
		text: 'exporting spans',
		meaning: 'A span is sent for each connection with TOA.',
		fields: ['url'],
	},
	spansOff: {
		level: 'warn',
		text: 'no spans are sent: the environment disables them',
		meaning:
			'The configuration enables spans (`otel.spans`); `by` is the variable that disables them: `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER` or `OTEL_TRACES_SAMPLER`.',
		fields: ['by'],
	},
	otelVariable: {
		level: 'error',
		text: 'an OpenTelemetry variable cannot be used',
		meaning: '`message` says which values are allowed, and what is used instead.',
		fields: ['variable', 'value', 'message'],
	},
	spansNotReaching: {
		level: 'warn',
		text: 'spans are not reaching the collector',
		meaning:
			'Logged once, until they reach it again; `toascope_drops_total{reason="span_export_failed"}` counts the spans.',
		fields: ['err', 'spans'],
	},
	spansReaching: {
		level: 'info',
		text: 'spans are reaching the collector again',
		meaning: '`lost` spans did not reach it.',
		fields: ['lost'],
	},
	spansLost: {
		level: 'warn',
		text: 'spans were lost while stopping',
		meaning: 'The collector did not accept them within the second that a stop waits for it.',
		fields: ['spans'],
	},
} as const satisfies Record<string, LogLine>;
