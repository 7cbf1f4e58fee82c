// SPDX-License-Identifier: Apache-2.0
/** The flush of one network namespace after the other: one that fails takes no other with it. */
import { expect, it, vi } from 'vitest';
import { Flusher } from '../../daemon/capture/flusher.ts';
import { networkNamespaces } from '../../daemon/capture/namespaces.ts';
import type { BpfObject, Features } from '../../daemon/capture/native.ts';
import { Reaper } from '../../daemon/capture/reaper.ts';
import type { LogSink } from '../../daemon/log_lines.ts';

vi.mock('../../daemon/capture/namespaces.ts');

const log: LogSink = { info() {}, warn() {}, error() {} };
const noMemory = Object.assign(new Error('no memory'), { code: 'ENOMEM', errno: 12 });

it('reads all others, and says then that one failed', async () => {
	vi.mocked(networkNamespaces).mockReturnValue(new Map([1, 2, 3].map((inode) => [inode, `/ns/${inode}`])));
	const read: (string | undefined)[] = [];
	const iterate: BpfObject['iterate'] = (_program, _output, path) => {
		read.push(path);
		if (path === '/ns/1') throw noMemory;
		return 0;
	};
	const bpf = { iterate } as BpfObject;
	const reaper = new Reaper(bpf);
	const flushed = vi.spyOn(reaper, 'flushed');
	const flusher = new Flusher(bpf, { storageIterator: 'EPERM' } as unknown as Features, reaper, log);
	await expect(flusher.flush(async () => {})).rejects.toBe(noMemory);
	expect(read).toEqual(['/ns/1', '/ns/2', '/ns/3']);
	expect(flushed.mock.calls.map(([, netns]) => netns)).toEqual([2, 3]);
});
