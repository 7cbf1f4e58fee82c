// SPDX-License-Identifier: Apache-2.0
/** Formats the results as a text table, and as the Markdown table of docs/performance.md. */
import { readFileSync, writeFileSync } from 'node:fs';
import { ToascopeError } from '../daemon/errors.ts';
import type { Machine } from './machine.ts';
import type { Row } from './result.ts';

export interface Report {
	readonly date: string;
	readonly kernel: string;
	readonly command: string;
	readonly machine: Machine;
	readonly results: Readonly<Record<string, object>>;
	/** Parts that failed, with their errors. */
	readonly failed: Readonly<Record<string, string>>;
	readonly falls_short: readonly string[];
	readonly no_verdict: readonly string[];
}

const heads = ['what', 'measured', 'aim', '', 'more'] as const;

function cells(row: Row): string[] {
	const verdict = row.aim === '' ? '' : row.verdict === 'none' ? 'no verdict' : row.verdict;
	return [row.what, row.value, row.aim, verdict, row.note ?? ''];
}

function facts({ date, kernel, command, machine }: Report): string {
	const { processors, cpu, memory_gib: gib } = machine;
	const busy = `${Math.round(machine.busy_before * 100)} % busy before it began`;
	const others =
		machine.other_programs > 0 ? `, BPF programs of other software on the same hooks: ${machine.other_programs}` : '';
	return `${date.slice(0, 10)}, Linux ${kernel}, ${processors} x ${cpu}, ${gib} GiB, ${busy}${others}; \`${command}\``;
}

export function formatTable(report: Report, rows: readonly Row[]): string {
	const lines = [[...heads], ...rows.map(cells)];
	const widths = heads.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
	const text = lines.map((line) =>
		line
			.map((cell, column) => cell.padEnd(widths[column] ?? 0))
			.join('  ')
			.trimEnd(),
	);
	return `${facts(report)}\n\n${text.join('\n')}\n`;
}

export function formatMarkdown(report: Report, rows: readonly Row[]): string {
	const lines = [[...heads], heads.map(() => '---'), ...rows.map(cells)];
	return `${facts(report)}\n\n${lines.map((line) => `| ${line.join(' | ')} |`).join('\n')}\n`;
}

const begin = '<!-- bench: begin -->';
const end = '<!-- bench: end -->';

/**
 * Replaces the text between the two marks of a file.
 * @throws {ToascopeError} NOT_FOUND if the file or its marks are missing
 */
export function writeBetweenMarks(file: string, text: string): void {
	let before: string;
	try {
		before = readFileSync(file, 'utf8');
	} catch (cause) {
		throw new ToascopeError('NOT_FOUND', `${file} cannot be read`, { cause });
	}
	const from = before.indexOf(begin);
	const to = before.indexOf(end);
	if (from < 0 || to < from) throw new ToascopeError('NOT_FOUND', `${file} has no ${begin} and ${end}`);
	writeFileSync(file, `${before.slice(0, from + begin.length)}\n\n${text}\n${before.slice(to)}`);
}
