// SPDX-License-Identifier: Apache-2.0
/** Which format a scraper wants, and how packed: RFC 9110, sections 12.5.1 and 12.5.3. */
import type { Format } from './text.ts';

/** Content-Type of each format. */
export const contentTypes: Readonly<Record<Format, string>> = {
	prometheus: 'text/plain; version=0.0.4; charset=utf-8',
	openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

/**
 * OpenMetrics where the header names it and likes nothing of ours better; the Prometheus text
 * format else, also for a header that wants neither: a scraper that reads it has more than an error.
 */
export function negotiateFormat(accept: string | undefined): Format {
	let openmetrics = 0;
	let named: number | undefined;
	for (const range of (accept ?? '').split(',')) {
		const [type = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
		const quality = qualityOf(parameters);
		if (type === 'application/openmetrics-text') {
			const version = parameters.find((parameter) => parameter.startsWith('version='));
			if (version === undefined || /^version="?1\./.test(version)) openmetrics = Math.max(openmetrics, quality);
		} else if (type === 'text/plain') {
			named = Math.max(named ?? 0, quality);
		}
	}
	return openmetrics > 0 && openmetrics >= (named ?? 0) ? 'openmetrics' : 'prometheus';
}

/**
 * Whether a scraper of OpenMetrics wants to know when series began (`_created`). A Prometheus that does nothing with that
 * keeps each of these lines as one more series, so it is left out where the header looks like such a one: it names the text
 * format as well. One that goes by created timestamps (`--enable-feature=created-timestamp-zero-ingestion`) also names
 * protobuf; who names OpenMetrics alone gets all that there is.
 */
export function negotiateCreated(accept: string | undefined): boolean {
	const types = (accept ?? '').split(',').map((range) => range.split(';')[0]?.trim().toLowerCase());
	return types.includes('application/vnd.google.protobuf') || !types.includes('text/plain');
}

/** Whether gzip is wanted: named in Accept-Encoding, or part of its `*`, and liked no less than what is not packed. */
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
