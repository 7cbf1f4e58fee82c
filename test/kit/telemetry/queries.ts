// SPDX-License-Identifier: Apache-2.0
/** Reads docs/queries.md for tests: the query below each heading, and the alerting rules. */
import { readFileSync } from 'node:fs';

const page = new URL('../../../docs/queries.md', import.meta.url);

/**
 * The queries by heading.
 * @throws {Error} if a third-level heading does not have exactly one query
 */
export function pageQueries(): ReadonlyMap<string, string> {
	const [, ...sections] = readFileSync(page, 'utf8').split(/^### /m);
	return new Map(
		sections.map((section) => {
			const heading = section.slice(0, section.indexOf('\n'));
			const [query, ...more] = [...section.matchAll(/^```promql\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
			if (query === undefined || more.length > 0) throw new Error(`expected exactly one query below "${heading}"`);
			return [heading, query];
		}),
	);
}

/** The rule file on the page. */
export function pageRules(): string {
	const rules = [...readFileSync(page, 'utf8').matchAll(/^```yaml\n([\s\S]*?)^```$/gm)].map(([, text = '']) => text);
	if (rules.length !== 1) throw new Error('expected exactly one rule file');
	return rules[0] as string;
}

/** The alerts for which the page gives advice, in the order of the page. */
export function pageAdvice(): readonly string[] {
	const [, table = ''] = /^\| alert \| what to do \|\n([\s\S]*?)^$/m.exec(readFileSync(page, 'utf8')) ?? [];
	return [...table.matchAll(/^\| `(\w+)` \| \S/gm)].map(([, alert = '']) => alert);
}
