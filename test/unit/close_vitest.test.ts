// SPDX-License-Identifier: Apache-2.0
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { closeVitest } from '../fixtures/close_vitest.ts';

it('ends what a test has left running, and does not wait for it', async () => {
	const left = spawn('sleep', ['1000'], { stdio: 'ignore' });
	const ended = once(left, 'exit');
	expect(await closeVitest({ close: () => new Promise(() => {}) }, 1)).toBe(1);
	expect(await ended).toEqual([null, 'SIGKILL']);
});

it('ends nothing where Vitest closes', async () => {
	expect(await closeVitest({ close: async () => {} })).toBe(0);
});
