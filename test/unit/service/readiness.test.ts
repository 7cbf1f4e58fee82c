// SPDX-License-Identifier: Apache-2.0
/** Reasons for not being ready, set and cleared by name; docs/http.md lists all of them. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { LogLimit, type LogSink } from '../../../daemon/log_line.ts';
import { logReadiness, type NotReadyReason, notReadyReasons, Readiness } from '../../../daemon/service/readiness.ts';

it('is ready when no reason is set', () => {
	expect(new Readiness().reasons).toEqual([]);
});

it('keeps each reason until it is cleared, the first one first', () => {
	const readiness = new Readiness();
	readiness.set('http_listen', 'one');
	readiness.set('pins_missing', 'two');
	readiness.set('http_listen', 'one, as it is now');
	expect(readiness.reasons).toEqual([
		{ reason: 'http_listen', text: 'one, as it is now' },
		{ reason: 'pins_missing', text: 'two' },
	]);
	readiness.clear('http_listen');
	readiness.clear('cgroup_missing');
	expect(readiness.reasons).toEqual([{ reason: 'pins_missing', text: 'two' }]);
});

it('is logged once a minute for the same reasons, and each time with the line that ends it', () => {
	const logged: object[] = [];
	const push = (context: object, text: string) => void logged.push({ text, ...context });
	const log: LogSink = { info: push, warn: push, error: push };
	let nowMs = 0;
	const readiness = new Readiness();
	logReadiness(readiness, log, new LogLimit(log, () => nowMs));
	const flap = (reason: NotReadyReason) => {
		readiness.set(reason, `${reason} is wrong`);
		readiness.clear(reason);
	};
	for (nowMs = 0; nowMs < 70_000; nowMs += 1000) flap('http_listen');
	flap('pins_missing');
	expect(logged).toEqual([
		{ text: 'not ready', reasons: ['http_listen is wrong'] },
		{ text: 'ready again' },
		{ text: 'not ready', reasons: ['http_listen is wrong'], left_out: 59 },
		{ text: 'ready again' },
		{ text: 'not ready', reasons: ['pins_missing is wrong'] },
		{ text: 'ready again' },
	]);
});

it('has all of its reasons in docs/http.md, and no other there', () => {
	const page = readFileSync(new URL('../../../docs/http.md', import.meta.url), 'utf8');
	const [, section = ''] = /^## Ready or not\n([\s\S]*?)^## /m.exec(page) ?? [];
	const named = [...section.matchAll(/^\| `(\w+)` \| \S/gm)].map(([, reason]) => reason);
	expect(named).toEqual(notReadyReasons);
});
