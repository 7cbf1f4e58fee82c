// SPDX-License-Identifier: Apache-2.0
/** The findings as text, worst first: an aligned line each, its advice and consequences below. */
import { styleText } from 'node:util';
import { printable } from '../terminal.ts';
import { type Finding, foldConsequences } from './causes.ts';
import type { Check, State } from './check.ts';
import type { Findings } from './examine.ts';

const marks: Readonly<Record<State, string>> = { ok: 'ok  ', warn: 'WARN', fail: 'FAIL' };
const styles = { ok: 'green', warn: 'yellow', fail: 'red' } as const;
const order: readonly State[] = ['fail', 'warn', 'ok'];

export interface Style {
	readonly colours?: boolean;
	/** Width of the terminal; undefined: lines are not wrapped. */
	readonly columns?: number | undefined;
}

/** The last line says whether toascope runs here. */
export function formatReport({ checks, running }: Findings, { colours = false, columns }: Style = {}): string {
	const paint = (state: State, text: string) =>
		colours ? styleText(styles[state], text, { validateStream: false }) : text;
	const findings = foldConsequences(checks);
	const shown = order.flatMap((state) => inOneLine(findings.filter((each) => each.state === state)));
	const width = Math.max(...shown.map(({ check }) => check.title.length));
	const indent = ' '.repeat(width + 8);
	const room = columns === undefined ? Number.POSITIVE_INFINITY : Math.max(40, columns - indent.length);
	const below = (sign: string, text: string) => {
		const hanging = ' '.repeat(sign.length + 1);
		return `${indent}${sign} ${wrap(text, room - hanging.length).join(`\n${indent}${hanging}`)}`;
	};
	const lines = shown.flatMap(({ check: { title, found, advice }, state, consequences }) => [
		`${paint(state, marks[state])}  ${title.padEnd(width)}  ${wrap(found, room).join(`\n${indent}`)}`,
		...(advice === undefined || state === 'ok' ? [] : [below('->', advice)]),
		...consequences.map((each) => below('causes ', `${each.title}: ${each.found}`)),
	]);
	return [...lines, '', summary(findings, running, paint), ''].join('\n');
}

/** Folds the features that the kernel has, or that toascope works around, into one line. */
function inOneLine(findings: readonly Finding[]): Finding[] {
	const isFeature = ({ check, state }: Finding) => check.name.startsWith('feature.') && state === 'ok';
	const features = findings.filter(isFeature).map(({ check }) => check);
	if (features.length === 0) return [...findings];
	const refused = features.filter(({ found }) => found !== 'yes').map(({ title, found }) => `${title}, ${found}`);
	const found = refused.length === 0 ? 'all present' : `all present except ${refused.join(', ')}`;
	const line: Check = { name: 'features', title: 'Kernel features', state: 'ok', found };
	return [...findings.filter((each) => !isFeature(each)), { check: line, state: 'ok', consequences: [] }];
}

function summary(
	findings: readonly Finding[],
	running: boolean,
	paint: (state: State, text: string) => string,
): string {
	const count = (state: State) => findings.filter((each) => each.state === state).length;
	const warnings = count('warn');
	const notes = warnings === 0 ? '' : `, ${warnings} warning${warnings === 1 ? '' : 's'}`;
	if (count('fail') > 0) {
		const what = running ? 'toascope runs, but would not start again' : 'toascope cannot run here';
		return paint('fail', `${what}: ${count('fail')} FAIL${notes}`);
	}
	return paint(warnings > 0 ? 'warn' : 'ok', `toascope ${running ? 'runs' : 'can run here'}${notes}`);
}

/** Lines of at most `room` characters, where words allow it. */
function wrap(text: string, room: number): string[] {
	const lines: string[] = [];
	let line = '';
	for (const word of printable(text).split(' ')) {
		if (line !== '' && line.length + 1 + word.length > room) {
			lines.push(line);
			line = word;
		} else {
			line = line === '' ? word : `${line} ${word}`;
		}
	}
	return [...lines, line];
}
