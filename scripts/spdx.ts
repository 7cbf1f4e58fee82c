// SPDX-License-Identifier: Apache-2.0
/** Checks that each source file names the right licence. LICENSE explains the split. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * Files that must have a licence line: those that are written by hand and can contain a comment.
 */
const source =
	/\.(ts|js|mjs|c|h|cc|cpp|sh|py|cmake|grit|go|java)$|(^|\/)(CMakeLists\.txt|Kbuild|Makefile)$|^\.ci\/run$/;

/** The SPDX expressions that are allowed in a file; undefined if none is required. */
export function allowedLicences(path: string): readonly string[] | undefined {
	if (!source.test(path)) return undefined;
	if (!/^(kernel|bpf|test\/vm\/no_memory)\//.test(path)) return ['Apache-2.0'];
	// a header that is also compiled for user space offers both
	return path.endsWith('.h') ? ['GPL-2.0-only', 'GPL-2.0-only OR Apache-2.0'] : ['GPL-2.0-only'];
}

/**
 * The SPDX expression on the first line, or on the second below `#!`; undefined if there is none.
 */
export function statedLicence(text: string): string | undefined {
	const lines = text.split('\n', 2);
	const line = lines[0]?.startsWith('#!') ? lines[1] : lines[0];
	return /SPDX-License-Identifier:\s*([\w.+-]+(?:\s+(?:OR|AND)\s+[\w.+-]+)*)/.exec(line ?? '')?.[1];
}

/** One line for each file under `root` whose licence line is missing or wrong. */
export function licenceProblems(root: string, paths: readonly string[]): string[] {
	const problems: string[] = [];
	for (const path of paths) {
		const allowed = allowedLicences(path);
		if (allowed === undefined) continue;
		const stated = statedLicence(readFileSync(join(root, path), 'utf8'));
		if (stated === undefined) problems.push(`${path}: no SPDX line, expected ${allowed.join(' or ')}`);
		else if (!allowed.includes(stated)) problems.push(`${path}: found ${stated}, expected ${allowed.join(' or ')}`);
	}
	return problems;
}
