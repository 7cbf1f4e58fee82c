// SPDX-License-Identifier: Apache-2.0
/** Tasks that fail are counted, and logged once a minute for each cause. */
import { beforeEach, expect, it } from 'vitest';
import { LogLimit, type LogSink } from '../../../daemon/log_line.ts';
import { Tasks } from '../../../daemon/service/tasks.ts';

interface LogLine {
	readonly level: string;
	readonly text: string;
	readonly context: object;
}

const logged: LogLine[] = [];
const push = (level: string) => (context: object, text: string) => void logged.push({ level, text, context });
const log: LogSink = { info: push('info'), warn: push('warn'), error: push('error') };

const noMemory = () => Object.assign(new Error('no memory'), { code: 'ENOMEM', errno: 12 });
const busy = () => Object.assign(new Error('busy'), { code: 'EBUSY', errno: 16 });

beforeEach(() => {
	logged.length = 0;
});

it('logs a cause once a minute, and the number of lines that it left out', () => {
	let nowMs = 0;
	const limit = new LogLimit(log, () => nowMs);
	const line = { level: 'warn', text: 'it fails', meaning: '' } as const;
	for (nowMs = 0; nowMs < 150_000; nowMs += 1000) limit.log('a', line, { at: nowMs });
	limit.log('b', line, { at: 'b' });
	expect(logged.map(({ context }) => context)).toEqual([
		{ at: 0 },
		{ at: 60_000, left_out: 59 },
		{ at: 120_000, left_out: 59 },
		{ at: 'b' },
	]);
});

it('has each task from the start, so that its first failure is an increase', () => {
	const tasks = new Tasks(log);
	expect(tasks.statistics()).toContainEqual({ task: 'owners', failures: 0, runs: 0, seconds: 0 });
	tasks.recordFailure('owners', noMemory());
	expect(tasks.statistics()).toContainEqual({ task: 'owners', failures: 1, runs: 0, seconds: 0 });
});

it('counts runs and failures, distinguishes causes, and logs when it succeeds again', async () => {
	const tasks = new Tasks(log);
	const errors = [noMemory(), noMemory(), busy(), undefined];
	const reported: unknown[] = [];
	const { promise, resolve } = Promise.withResolvers<void>();
	tasks.start(
		'collect',
		1,
		() => {
			const error = errors.shift();
			if (error !== undefined) throw error;
			setImmediate(resolve);
		},
		{ onFailure: (error) => reported.push(error), pauseFactor: 0 },
	);
	await promise;
	await tasks.stop();
	expect(reported).toHaveLength(3);
	expect(logged.map(({ level, text, context }) => [level, text, context])).toEqual([
		['error', 'a periodic task failed', { err: expect.objectContaining({ code: 'ENOMEM' }), task: 'collect' }],
		['error', 'a periodic task failed', { err: expect.objectContaining({ code: 'EBUSY' }), task: 'collect' }],
		['info', 'a periodic task succeeds again', { task: 'collect', failures: 3 }],
	]);
	const [collect] = tasks.statistics().filter(({ task }) => task === 'collect');
	expect(collect).toMatchObject({ failures: 3, seconds: expect.any(Number) });
	expect(collect?.runs).toBeGreaterThanOrEqual(4);
});

it('logs no success if the failures before it were not logged', async () => {
	const tasks = new Tasks(log);
	const errors = [noMemory(), undefined, noMemory(), undefined, noMemory(), undefined];
	const { promise, resolve } = Promise.withResolvers<void>();
	const work = () => {
		if (errors.length === 1) setImmediate(resolve);
		const error = errors.shift();
		if (error !== undefined) throw error;
	};
	tasks.start('collect', 1, work, { pauseFactor: 0 });
	await promise;
	await tasks.stop();
	expect(logged.map(({ text }) => text)).toEqual(['a periodic task failed', 'a periodic task succeeds again']);
	expect(tasks.statistics()).toContainEqual(expect.objectContaining({ task: 'collect', failures: 3 }));
});
