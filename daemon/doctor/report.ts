// SPDX-License-Identifier: Apache-2.0
/** The findings as text: one aligned line each, the advice below it. */
import { styleText } from 'node:util';
import type { Check, State } from './check.ts';

const marks: Readonly<Record<State, string>> = { ok: 'ok  ', warn: 'WARN', fail: 'FAIL' };
const styles = { ok: 'green', warn: 'yellow', fail: 'red' } as const;

/** Ends in a line that says whether toascope can run here. */
export function formatReport(checks: readonly Check[], colours: boolean): string {
	const paint = (state: State, text: string) =>
		colours ? styleText(styles[state], text, { validateStream: false }) : text;
	const width = Math.max(...checks.map(({ title }) => title.length));
	const lines = checks.flatMap(({ title, state, found, advice }) => [
		`${paint(state, marks[state])}  ${title.padEnd(width)}  ${printable(found)}`,
		...(advice === undefined ? [] : [`${' '.repeat(6 + width)}  -> ${printable(advice)}`]),
	]);
	return [...lines, '', verdict(checks, paint), ''].join('\n');
}

function verdict(checks: readonly Check[], paint: (state: State, text: string) => string): string {
	const count = (state: State) => checks.filter((each) => each.state === state).length;
	const warnings = count('warn');
	const notes = warnings === 0 ? '' : `, ${warnings} warning${warnings === 1 ? '' : 's'}`;
	if (count('fail') === 0) return paint('ok', `toascope can run here${notes}`);
	return paint('fail', `toascope cannot run here: ${count('fail')} FAIL${notes}`);
}

/** What comes from outside may not steer the terminal. */
function printable(text: string): string {
	return text.replaceAll(/\p{C}/gu, '?');
}
