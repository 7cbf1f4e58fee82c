// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { closeVitest } from '../../kit/close_vitest.ts';

it('kills a process that a test left running if Vitest does not close', async () => {
	const left = spawn('sleep', ['1000'], { stdio: 'ignore' });
	const ended = once(left, 'exit');
	expect(await closeVitest({ close: () => new Promise(() => {}) }, 1)).toBe(1);
	expect(await ended).toEqual([null, 'SIGKILL']);
});

it('kills nothing if Vitest closes', async () => {
	expect(await closeVitest({ close: async () => {} })).toBe(0);
});
