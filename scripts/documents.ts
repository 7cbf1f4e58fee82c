// SPDX-License-Identifier: Apache-2.0
/**
 * The format of Markdown files: prettier's, with text wrapped at 100 columns. Tables are left as
 * they are, because prettier would pad every cell of a column to the width of its longest.
 */
import { format } from 'prettier';

const columns = 100;
const isFence = (line: string) => /^\s*(```|~~~)/.test(line);
const isRow = (line: string) => /^\s*\|/.test(line);

/** Returns the text of a Markdown file, formatted. */
export async function formatDocument(text: string): Promise<string> {
	const tables: string[][] = [];
	const lines: string[] = [];
	let inCode = false;
	let table: string[] | undefined;
	for (const line of text.split('\n')) {
		if (isFence(line)) inCode = !inCode;
		if (inCode || !isRow(line)) {
			table = undefined;
			lines.push(line);
			continue;
		}
		if (table === undefined) {
			table = [];
			lines.push(`${/^\s*/.exec(line)?.[0]}<!-- table ${tables.push(table)} -->`);
		}
		table.push(line.trim());
	}
	const wrapped = await format(lines.join('\n'), {
		parser: 'markdown',
		proseWrap: 'always',
		printWidth: columns,
		embeddedLanguageFormatting: 'off',
	});
	return wrapped.replaceAll(/^( *)<!-- table (\d+) -->$/gm, (_, indent: string, number: string) =>
		(tables[Number(number) - 1] ?? []).map((row) => indent + row).join('\n'),
	);
}
