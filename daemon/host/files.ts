// SPDX-License-Identifier: Apache-2.0
/** Reads small files of the kernel and of distributions. */
import { readFileSync } from 'node:fs';

/** The text of a file, trimmed; undefined if it cannot be read. */
export function readText(path: string): string | undefined {
	try {
		return readFileSync(path, 'utf8').trim();
	} catch {
		return undefined;
	}
}
