// SPDX-License-Identifier: Apache-2.0
/** Reasons for not being ready: set and cleared by name, by whichever part knows. */
import { expect, it } from 'vitest';
import { LogLimit, type LogSink } from '../../daemon/log_lines.ts';
import { logReadiness, Readiness } from '../../daemon/service/readiness.ts';

it('is ready when no reason is set', () => {
	expect(new Readiness().reasons).toEqual([]);
});

it('keeps each reason until it is cleared, the first one first', () => {
	const readiness = new Readiness();
	readiness.set('first', 'one');
	readiness.set('second', 'two');
	readiness.set('first', 'one, as it is now');
	expect(readiness.reasons).toEqual([
		{ reason: 'first', text: 'one, as it is now' },
		{ reason: 'second', text: 'two' },
	]);
	readiness.clear('first');
	readiness.clear('never set');
	expect(readiness.reasons).toEqual([{ reason: 'second', text: 'two' }]);
});

it('is logged once a minute for the same reasons, and each line has its end', () => {
	const said: object[] = [];
	const push = (context: object, text: string) => void said.push({ text, ...context });
	const log: LogSink = { info: push, warn: push, error: push };
	let nowMs = 0;
	const readiness = new Readiness();
	logReadiness(readiness, log, new LogLimit(log, () => nowMs));
	const flap = (reason: string) => {
		readiness.set(reason, `${reason} is wrong`);
		readiness.clear(reason);
	};
	for (nowMs = 0; nowMs < 70_000; nowMs += 1000) flap('one');
	flap('two');
	expect(said).toEqual([
		{ text: 'not ready', reasons: ['one is wrong'] },
		{ text: 'ready again' },
		{ text: 'not ready', reasons: ['one is wrong'], left_out: 59 },
		{ text: 'ready again' },
		{ text: 'not ready', reasons: ['two is wrong'] },
		{ text: 'ready again' },
	]);
});
