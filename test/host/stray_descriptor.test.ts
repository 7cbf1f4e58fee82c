// SPDX-License-Identifier: Apache-2.0
/** A descriptor that listened when it was listed may be anything by the time that it is fetched; whatever it is, nobody waits for it. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { load } from '../../daemon/capture/load.ts';
import { native } from '../../daemon/capture/native.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { untilReady } from '../../daemon/lab/process.ts';

const program = new URL('../fixtures/apps/slow_file.py', import.meta.url).pathname;
const isReady = (value: unknown) => typeof value === 'object' && value !== null && 'fd' in value;
const missing = spawnSync('sh', [
	'-c',
	'command -v python3 && grep -qw fuse /proc/filesystems && test -w /dev/fuse',
]).status;

it.skipIf(missing !== 0)(
	'a file whose close never ends holds nobody up',
	async () => {
		const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
		const place = join(directory, 'file');
		writeFileSync(place, '');
		const slow = spawn('unshare', ['--mount', 'python3', program, place], { stdio: 'pipe' });
		const bpf = load({
			config: toConfig(fileSchema.parse({}), {}),
			probed: native().probe(),
			reader: 'bpf',
		});
		// what waits is let go when the file system ends: also where somebody waits in vain
		const rescue = spawn('sh', ['-c', `sleep 20; kill ${slow.pid}`], { detached: true });
		try {
			const { pid, fd } = (await untilReady(slow, 'slow_file', isReady)) as { pid: number; fd: number };
			expect(() => bpf.keepSyns(pid, fd, true)).toThrow('Bad file descriptor');
			// nobody had to be let go: it still runs
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
