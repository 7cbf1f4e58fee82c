// SPDX-License-Identifier: Apache-2.0
/** The counters of the HTTP servers; the TCP address and the Unix socket share them. */
import { Counter, type Registry } from 'prom-client';
import { httpLimitMeanings } from './http_limits.ts';
import { type MetricOf, metricDefinition } from './metric_table.ts';

export type HttpLimit = keyof typeof httpLimitMeanings;

export interface HttpMetrics {
	/** `path`: the route's pattern, or `other`. `code`: the status, or `aborted`. */
	countResponse(path: string, code: string): void;
	countLimited(limit: HttpLimit): void;
}

/** Registers the counters. */
export function registerHttpMetrics(registry: Registry): HttpMetrics {
	const requests = counter(registry, 'toascope_http_requests_total');
	const limited = counter(registry, 'toascope_http_limited_total');
	// starts from 0, so that Prometheus sees the first increase
	for (const limit of Object.keys(httpLimitMeanings)) limited.inc({ limit }, 0);
	return {
		countResponse: (path, code) => requests.inc({ path, code }),
		countLimited: (limit) => limited.inc({ limit }),
	};
}

function counter(registry: Registry, metric: MetricOf<'http'>): Counter<string> {
	const { name, help, labels } = metricDefinition(metric);
	return new Counter<string>({ name, help, labelNames: [...labels], registers: [registry] });
}
