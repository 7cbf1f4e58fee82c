// SPDX-License-Identifier: Apache-2.0
/**
 * Negotiates the format of a scrape and its compression: RFC 9110, sections 12.5.1 and 12.5.3. The
 * package `negotiator` matches no range with a parameter that our type lacks, such as
 * `escaping=allow-utf-8` of Prometheus 3, and accepts `gzip;q=2`, so this is not left to it.
 */
import type { Format } from './text.ts';

/** Content-Type of each format. */
export const contentTypes: Readonly<Record<Format, string>> = {
	prometheus: 'text/plain; version=0.0.4; charset=utf-8',
	openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/**
 * OpenMetrics if the header names it and does not prefer our other format; otherwise the Prometheus
 * text format, even if the header accepts neither: a scraper that reads it gets more than an error.
 */
export function negotiateFormat(accept: string | undefined): Format {
	let openmetrics = 0;
	let textQuality: number | undefined;
	for (const range of (accept ?? '').split(',')) {
		const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
		const quality = qualityOf(parameters);
		if (type === 'application/openmetrics-text') {
			const version = parameters.find((parameter) => parameter.startsWith('version='));
			if (version === undefined || /^version="?1\./.test(version)) openmetrics = Math.max(openmetrics, quality);
		} else if (type === 'text/plain') {
			textQuality = Math.max(textQuality ?? 0, quality);
		}
	}
	return openmetrics > 0 && openmetrics >= (textQuality ?? 0) ? 'openmetrics' : 'prometheus';
}

/**
 * Whether a scraper of OpenMetrics wants the creation times of series (`_created`). A Prometheus
 * that does not use them stores each as one more series, so they are omitted for a header like that
 * of such a Prometheus, which also names the text format. A Prometheus that uses created timestamps
 * (`--enable-feature=created-timestamp-zero-ingestion`) also names protobuf. A scraper that names
 * only OpenMetrics gets everything.
 */
export function negotiateCreated(accept: string | undefined): boolean {
	const types = (accept ?? '').split(',').map((range) => range.split(';')[0]?.trim().toLowerCase());
	return types.includes('application/vnd.google.protobuf') || !types.includes('text/plain');
}

/**
 * Whether gzip is wanted: Accept-Encoding names it or covers it with `*`, and does not prefer an
 * uncompressed response.
 */
export function negotiateGzip(acceptEncoding: string | undefined): boolean {
	const qualities = new Map<string, number>();
	for (const coding of (acceptEncoding ?? '').split(',')) {
		const [name = '', ...parameters] = coding.split(';').map((part) => part.trim().toLowerCase());
		qualities.set(name === 'x-gzip' ? 'gzip' : name, qualityOf(parameters));
	}
	const gzip = qualities.get('gzip') ?? qualities.get('*') ?? 0;
	return gzip > 0 && gzip >= (qualities.get('identity') ?? 0);
}

function qualityOf(parameters: readonly string[]): number {
	const parameter = parameters.find((one) => one.startsWith('q='));
	if (parameter === undefined) return 1;
	const quality = Number(parameter.slice(2));
	return quality >= 0 && quality <= 1 ? quality : 0;
}
