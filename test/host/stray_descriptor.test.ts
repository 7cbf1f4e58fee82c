// SPDX-License-Identifier: Apache-2.0
/**
 * A descriptor that was a listener when it was listed can be anything by the time the daemon
 * fetches it. Whatever it is, the daemon must not wait for it.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { load } from '../../daemon/capture/load.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { untilReady } from '../../daemon/lab/process.ts';
import { native } from '../../native/binding.ts';

const program = new URL('../kit/apps/slow_file.py', import.meta.url).pathname;
const isReady = (value: unknown) => typeof value === 'object' && value !== null && 'fd' in value;
const missing = spawnSync('sh', [
	'-c',
	'command -v python3 && grep -qw fuse /proc/filesystems && test -w /dev/fuse',
]).status;

it.skipIf(missing !== 0)(
	'a file whose close() never returns does not block the daemon',
	async () => {
		const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
		const path = join(directory, 'file');
		writeFileSync(path, '');
		const slow = spawn('unshare', ['--mount', 'python3', program, path], { stdio: 'pipe' });
		const bpf = load({
			config: toConfig(fileSchema.parse({}), {}),
			probed: native().probe(),
			reader: 'bpf',
		});
		// ends the file system after 20 s, which releases every process that waits for it: a test
		// in which the daemon waits then fails instead of blocking
		const rescue = spawn('sh', ['-c', `sleep 20; kill ${slow.pid}`], { detached: true });
		try {
			const { pid, fd } = (await untilReady(slow, 'slow_file', isReady)) as { pid: number; fd: number };
			expect(() => bpf.setSaveSyn(pid, fd, true)).toThrow('Bad file descriptor');
			// the daemon did not have to be released: the file system still runs
			expect(readFileSync(`/proc/${pid}/stat`, 'utf8')).toMatch(/\) [RSD] /);
		} finally {
			process.kill(-(rescue.pid ?? 0));
			const ended = once(slow, 'exit');
			slow.kill('SIGKILL');
			await ended;
			bpf.close();
			rmSync(directory, { recursive: true });
		}
	},
	30_000,
);
