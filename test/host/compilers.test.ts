// SPDX-License-Identifier: Apache-2.0
/**
 * What each clang of this machine makes of the BPF sources: it builds, the kernel takes it, and every connection of the demo has
 * its client. What a guest's kernel takes was built on the host before.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { buildWith, compilers } from '../fixtures/compilers.ts';
import { patient } from '../fixtures/patience.ts';

const found = compilers();

test.skipIf(found.length === 0).each(found)(
	'$name',
	async (compiler) => {
		const options = ['--listen', '127.0.0.1:0', '--once', '--clients', '5', '--connections', '50', '--json'];
		const child = spawn(process.execPath, [buildWith(compiler), 'demo', ...options], {
			stdio: ['ignore', 'pipe', 'inherit'],
		});
		const ended = once(child, 'exit');
		const printed = await text(child.stdout);
		await ended;
		expect(JSON.parse(printed)).toMatchObject({ connections: 50, resolved: 50, mismatched: 0, bytes_mismatched: 0 });
		expect(child.exitCode).toBe(0);
	},
	patient(180_000),
);
