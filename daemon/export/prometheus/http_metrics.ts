// SPDX-License-Identifier: Apache-2.0
/** What the HTTP servers count of themselves; the address and the Unix socket count into the same. */
import { Counter, type Registry } from 'prom-client';
import { httpLimitMeanings } from '../http_limits.ts';
import { type MetricName, metricDefinition } from '../metric_table.ts';

export type HttpLimit = keyof typeof httpLimitMeanings;

export interface HttpMetrics {
	/** `path`: the route's pattern, or `other`. `code`: the status, or `aborted`. */
	answered(path: string, code: string): void;
	limited(limit: HttpLimit): void;
}

/** Registers them. */
export function registerHttpMetrics(registry: Registry): HttpMetrics {
	const requests = counter(registry, 'toascope_http_requests_total');
	const limited = counter(registry, 'toascope_http_limited_total');
	// a first 0, so that the first increase is one
	for (const limit of Object.keys(httpLimitMeanings)) limited.inc({ limit }, 0);
	return {
		answered: (path, code) => requests.inc({ path, code }),
		limited: (limit) => limited.inc({ limit }),
	};
}

function counter(registry: Registry, metric: MetricName): Counter<string> {
	const { name, help, labels } = metricDefinition(metric);
	return new Counter<string>({ name, help, labelNames: [...labels], registers: [registry] });
}
