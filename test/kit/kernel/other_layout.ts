// SPDX-License-Identifier: Apache-2.0
/** Another version of toascope: the same sources, built with a different layout of the records. */
import { readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildVariant } from './variant_tree.ts';

/** Its pin directory, below that of the configuration. */
export const otherLayout = 'v2';

/**
 * Reverses the order of the counters and adds one that the original does not have. Adds a word to
 * connections after the lock, which must be first.
 */
function change(records: string): string {
	return records
		.replace(/TOASCOPE_LAYOUT = \d+/, 'TOASCOPE_LAYOUT = 2')
		.replace(/struct traffic \{\n((?:.*\n)*?)\};/, (_, fields: string) => {
			const lines = fields.trimEnd().split('\n').toReversed();
			return `struct traffic {\n\t__u64 only_in_variant;\n${lines.map((line) => line.replace(/\/\*.*\*\//, '')).join('\n')}\n};`;
		})
		.replace(/struct connection \{\n.*\block;\n/, (head) => `${head}\t__u64 of_this_too;\n`)
		.replaceAll(/^TOA_STATIC_ASSERT\([^;]*;\n/gm, '');
}

/** Builds this version, unless it is up to date. Returns the path of its program. */
export function buildOtherLayout(): string {
	return buildVariant({
		name: 'other_layout',
		differs: readFileSync(import.meta.filename, 'utf8'),
		change(tree) {
			for (const header of ['enums.h', 'connection.h', 'records.h']) {
				const records = join(tree, 'bpf', header);
				const { atime, mtime } = statSync(records);
				writeFileSync(records, change(readFileSync(records, 'utf8')));
				// keep the times, so that make finds nothing new
				utimesSync(records, atime, mtime);
			}
		},
	});
}
