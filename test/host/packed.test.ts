// SPDX-License-Identifier: Apache-2.0
/** The package that `npm pack` creates can be installed in an empty directory, and runs there. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { version } from '../../daemon/version.ts';
import { inGuest } from '../kit/kernel/in_guest.ts';
import { scaleTimeout } from '../kit/timeouts.ts';

const root = join(import.meta.dirname, '../..');
let directory = '';
let command = '';

// the installation builds the package from its own contents, not from the set-up that runs these
// tests
beforeAll(() => {
	if (inGuest) return;
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	const run = (name: string, args: readonly string[], cwd: string) =>
		execFileSync(name, args, { cwd, stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8' });
	const packed =
		run('npm', ['pack', '--silent', '--pack-destination', directory], root).trim().split('\n').at(-1) ?? '';
	const app = join(directory, 'app');
	mkdirSync(app);
	run('npm', ['install', '--no-audit', '--no-fund', '--loglevel=error', join(directory, packed)], app);
	command = join(app, 'node_modules/.bin/toascope');
}, scaleTimeout(600_000));
afterAll(() => {
	if (directory !== '') rmSync(directory, { recursive: true, force: true });
});

test.skipIf(inGuest)('the installed command prints its version', () => {
	expect(execFileSync(command, ['--version'], { encoding: 'utf8' })).toBe(`${version}\n`);
});

test.skipIf(inGuest)('the installed doctor finds the addon, and the programs load', () => {
	const config = ['doctor', '--json', '--config', '/dev/null'];
	const { checks } = JSON.parse(execFileSync(command, config, { encoding: 'utf8' })) as {
		checks: { name: string; state: string }[];
	};
	expect(checks.find(({ name }) => name === 'programs')?.state).toBe('ok');
	expect(checks.map(({ name }) => name)).not.toContain('addon');
});
