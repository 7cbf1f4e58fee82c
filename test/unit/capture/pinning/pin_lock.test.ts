// SPDX-License-Identifier: Apache-2.0
/**
 * The lock on the pin directory: who can write to the mount, and a directory that is replaced. Any
 * file system can stand in for bpffs.
 */
import {
	chmodSync,
	closeSync,
	fstatSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	renameSync,
	rmdirSync,
	rmSync,
	statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { acquireLock } from '../../../../daemon/capture/pinning/pin_lock.ts';
import type { Native } from '../../../../native/binding.ts';

let mount: string;
let root: string;
beforeEach(() => {
	mount = mkdtempSync(join(tmpdir(), 'toascope-pins-'));
	root = join(mount, 'toascope');
});
afterEach(() => rmSync(mount, { recursive: true }));

const native = { lock: (path: string) => openSync(path, 'r') } as unknown as Native;

it.each([0o700, 0o755, 0o775, 0o1777])('accepts a mount of mode %o', (mode) => {
	chmodSync(mount, mode);
	closeSync(acquireLock(native, root, [], undefined));
});

it('refuses a mount in which every user can rename the pins', () => {
	chmodSync(mount, 0o777);
	const hint = expect.stringContaining(`chmod 0700 ${mount}`);
	expect(() => acquireLock(native, root, [], undefined)).toThrow(expect.objectContaining({ code: 'NO_BPFFS', hint }));
});

it('does not keep the lock on a directory that was replaced in the meantime', () => {
	let times = 0;
	const lock = (path: string): number => {
		const fd = openSync(path, 'r');
		if (times++ === 0) {
			// created before the old one is removed, so that it has another inode number
			mkdirSync(`${path}-next`);
			rmdirSync(path);
			renameSync(`${path}-next`, path);
		}
		return fd;
	};
	const fd = acquireLock({ lock } as unknown as Native, root, [], undefined);
	expect(fstatSync(fd).ino).toBe(statSync(root).ino);
	expect(times).toBe(2);
	closeSync(fd);
});

it('gives up if the directory is removed each time it is created', () => {
	let times = 0;
	const lock = (path: string): number => {
		times++;
		rmdirSync(path);
		throw Object.assign(new Error('gone'), { code: 'ENOENT' });
	};
	expect(() => acquireLock({ lock } as unknown as Native, root, [], undefined)).toThrow(
		/is removed or replaced as often/,
	);
	expect(times).toBe(100);
});
