// SPDX-License-Identifier: Apache-2.0
/** What the processor `toascope` of a Collector counts (docs/collector-processor.md). */
import type { Collector } from './collector.ts';

/**
 * For the configuration of a Collector whose pipeline of metrics writes what its OTLP receiver at
 * COLLECTOR_HTTP_PORT gets: it sends its own metrics there, five times a second.
 */
export const ownTelemetry = `
  telemetry:
    metrics:
      readers:
        - periodic:
            interval: 200
            exporter:
              otlp: {protocol: http/protobuf, endpoint: "http://127.0.0.1:\${env:COLLECTOR_HTTP_PORT}"}`;

/** How many items had each outcome so far. */
export function outcomesOf(collector: Collector): Map<string, number> {
	const counts = new Map<string, number>();
	for (const { name, sum } of collector.metrics()) {
		if (name !== 'otelcol_processor_toascope_items') continue;
		// the points are cumulative, so the last of each counts
		for (const { attributes = [], asInt } of sum?.dataPoints ?? []) {
			const outcome = attributes.find(({ key }) => key === 'outcome')?.value['stringValue'];
			if (outcome !== undefined) counts.set(outcome, Number(asInt));
		}
	}
	return counts;
}
