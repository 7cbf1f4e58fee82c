// SPDX-License-Identifier: Apache-2.0
/** The doctor's report, as text. */
import { expect, test } from 'vitest';
import type { Check } from '../../../daemon/doctor/check.ts';
import { formatReport } from '../../../daemon/doctor/report.ts';

test('the report starts with the worst, is aligned, ends in a summary, and escapes control characters', () => {
	const checks: Check[] = [
		{ name: 'a', title: 'A', state: 'ok', found: 'good', advice: 'for scripts' },
		{ name: 'feature.x', title: 'x programs', state: 'ok', found: 'yes' },
		{ name: 'feature.y', title: 'y programs', state: 'ok', found: 'refused (EPERM)', advice: 'for scripts' },
		{ name: 'c', title: 'C', state: 'warn', found: 'so so', advice: 'look' },
		{ name: 'b', title: 'Longer', state: 'fail', found: 'bad \u001b[2J', advice: 'mend it' },
	];
	expect(formatReport({ checks, running: false })).toBe(
		[
			'FAIL  Longer           bad ?[2J',
			'                       -> mend it',
			'WARN  C                so so',
			'                       -> look',
			'ok    A                good',
			'ok    Kernel features  all present except y programs, refused (EPERM)',
			'',
			'toascope cannot run here: 1 FAIL, 1 warning',
			'',
		].join('\n'),
	);
	expect(formatReport({ checks, running: true }, { colours: true })).toContain('\u001b[31mFAIL\u001b[39m');
	const last = (some: readonly Check[], runs: boolean) =>
		formatReport({ checks: some, running: runs }).trim().split('\n').at(-1);
	expect(last(checks, true)).toBe('toascope runs, but would not start again: 1 FAIL, 1 warning');
	expect(last(checks.slice(0, 4), true)).toBe('toascope runs, 1 warning');
	expect(last(checks.slice(0, 1), false)).toBe('toascope can run here');
});

test('findings with one cause are merged into that cause, which lists its consequences', () => {
	const checks: Check[] = [
		{ name: 'provider', title: 'Provider', state: 'fail', found: 'none', advice: 'see above', because: 'cgroup' },
		{ name: 'cgroup', title: 'cgroup v2', state: 'warn', found: 'not mounted', advice: 'mount it' },
		{ name: 'module', title: 'Module', state: 'warn', found: 'not loaded', because: 'provider' },
		{ name: 'alone', title: 'Alone', state: 'warn', found: 'by itself', because: 'well' },
		{ name: 'well', title: 'Well', state: 'ok', found: 'good', because: 'cgroup' },
		{ name: 'gone', title: 'Gone', state: 'warn', found: 'without its cause', because: 'nothing' },
	];
	expect(formatReport({ checks, running: false })).toBe(
		[
			'FAIL  cgroup v2  not mounted',
			'                 -> mount it',
			'                 causes  Provider: none',
			'                 causes  Module: not loaded',
			'WARN  Alone      by itself',
			'WARN  Gone       without its cause',
			'ok    Well       good',
			'',
			'toascope cannot run here: 1 FAIL, 2 warnings',
			'',
		].join('\n'),
	);
	const circle: Check[] = [
		{ name: 'a', title: 'A', state: 'warn', found: 'one', because: 'b' },
		{ name: 'b', title: 'B', state: 'warn', found: 'other', because: 'a' },
	];
	const well: Check = { name: 'c', title: 'C', state: 'ok', found: 'good' };
	for (const checks of [circle, [...circle, well]]) {
		const report = formatReport({ checks, running: true });
		expect(report).toMatch(/^WARN {2}A {2}one\nWARN {2}B {2}other\n/);
		expect(report).toContain('toascope runs, 2 warnings');
	}
});

test('lines are wrapped at the width of a terminal', () => {
	const words = 'word '.repeat(60).trim();
	const checks: Check[] = [
		{ name: 'a', title: 'Title', state: 'warn', found: words, advice: `${'x'.repeat(90)} ${words}` },
	];
	const lines = formatReport({ checks, running: true }, { columns: 80 }).split('\n');
	expect(lines.filter((line) => line.length > 80).map((line) => line.trim())).toEqual([`-> ${'x'.repeat(90)}`]);
	const [first = '', second = ''] = lines;
	expect(second.search(/\S/)).toBe(first.indexOf('word'));
	expect(lines.join(' ').match(/word/g)).toHaveLength(120);
});
