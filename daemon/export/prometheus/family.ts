// SPDX-License-Identifier: Apache-2.0
/** A metric family on its way out: its head and, made one by one when asked for, its lines. */
import { createdName, type FamilyHead, formatLabels, formatSeconds, formatValue } from './text.ts';

export interface Family {
	readonly head: FamilyHead;
	/** Complete sample lines, each with its line feed: one in a string, or as many as make a piece in bytes. */
	readonly lines: Iterable<string | Buffer>;
}

/** One sample as prom-client's collectors give it, but the value may also be exact: a bigint or a decimal string. */
export interface Sample {
	/** Where it differs from the family's name: `_bucket`, `_sum`, `_count`. */
	readonly metricName?: string;
	readonly labels: Readonly<Record<string, string | number>>;
	readonly value: number | bigint | string;
	/** The last sample of a series that began then, Unix nanoseconds. */
	readonly createdNs?: bigint | undefined;
}

/**
 * The lines of a family whose samples come from prom-client, or from a collector in its registry; with `created`, when each
 * series began, where that is known.
 */
export function* sampleLines(name: string, samples: Iterable<Sample>, created = false): Generator<string> {
	for (const { metricName = name, labels, value, createdNs } of samples) {
		yield `${metricName}${formatLabels(labels)} ${formatValue(value)}\n`;
		if (!created || createdNs === undefined) continue;
		yield `${createdName(name)}${formatLabels(labels)} ${formatSeconds(createdNs)}\n`;
	}
}
