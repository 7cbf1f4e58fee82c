// SPDX-License-Identifier: Apache-2.0
/** The log where it cannot be written: the daemon goes on without it. */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { expect, it } from 'vitest';
import { patient } from '../fixtures/patience.ts';

const log = new URL('../../daemon/service/log.ts', import.meta.url).href;

/** A stream that waits to get rid of its lines would hold the process up for longer. */
const endMs = patient(5000);

/** What became of a process that logs this often in this format, with its log at a path. */
function write(lines: number, format: string, path: string): { status: number | null; said: string } {
	const program = `
		const { createLogger } = await import('${log}');
		const logger = createLogger({ level: 'info', format: '${format}' });
		for (let i = 0; i < ${lines}; i++) logger.warn({ i }, 'a line of the log');
		process.stdout.write('alive');
	`;
	const to = openSync(path, 'a');
	try {
		const args = ['--input-type=module', '-e', program];
		const { status, stdout } = spawnSync(process.execPath, args, { stdio: ['ignore', 'pipe', to], timeout: endMs });
		return { status, said: String(stdout) };
	} finally {
		closeSync(to);
	}
}

it.each(['json', 'pretty'])('on a full disk, %s: the process ends as ever', (format) => {
	expect(write(2000, format, '/dev/full')).toEqual({ status: 0, said: 'alive' });
});
