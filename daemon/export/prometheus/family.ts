// SPDX-License-Identifier: Apache-2.0
/** A metric family to be rendered: its head, and its lines, which are made during iteration. */
import { createdName, type FamilyHead, formatLabels, formatSeconds, formatValue } from './text.ts';

export interface Family {
	readonly head: FamilyHead;
	/**
	 * Complete sample lines, each with its line feed: one line in a string, or a whole chunk of
	 * lines in a Buffer.
	 */
	readonly lines: Iterable<string | Buffer>;
}

/**
 * A sample in the form of prom-client's collectors, except that its value can also be exact: a
 * bigint or a decimal string.
 */
export interface Sample {
	/** Set if it differs from the family's name: `_bucket`, `_sum`, `_count`. */
	readonly metricName?: string;
	readonly labels: Readonly<Record<string, string | number>>;
	readonly value: number | bigint | string;
	/** Set on the last sample of a series: when the series began, in Unix nanoseconds. */
	readonly createdNs?: bigint | undefined;
}

/**
 * The lines of a family whose samples come from prom-client, or from a collector in its registry;
 * with `created`, also the creation time of each series where it is known.
 */
export function* sampleLines(name: string, samples: Iterable<Sample>, created = false): Generator<string> {
	for (const { metricName = name, labels, value, createdNs } of samples) {
		yield `${metricName}${formatLabels(labels)} ${formatValue(value)}\n`;
		if (!created || createdNs === undefined) continue;
		yield `${createdName(name)}${formatLabels(labels)} ${formatSeconds(createdNs)}\n`;
	}
}
