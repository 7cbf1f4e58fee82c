// SPDX-License-Identifier: Apache-2.0
/** The format of documents: text is wrapped, tables and code keep their lines. */
import { expect, it } from 'vitest';
import { formatDocument } from '../../../scripts/documents.ts';

const sentence = 'The balancer writes the real address of the client into an option. '.repeat(3).trim();

it('wraps text at 100 columns', async () => {
	const lines = (await formatDocument(`# Title\n\n${sentence}\n`)).split('\n');
	expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(100);
	expect(lines.slice(2).join(' ').trim()).toBe(sentence);
});

it.each([
	['tables', `| a | b |\n|---|---|\n| 1 | ${sentence} |\n`],
	['a table in a list', `- item\n\n  | a | b |\n  |---|---|\n  | 1 | 2 |\n`],
	['two tables', `| a |\n|---|\n| 1 |\n\ntext\n\n| b |\n|---|\n| 2 |\n`],
	['code that looks like a table', `\`\`\`\n| a |  ${sentence}\n\`\`\`\n`],
])('leaves %s as they are', async (_, text) => {
	expect(await formatDocument(text)).toBe(text);
});
