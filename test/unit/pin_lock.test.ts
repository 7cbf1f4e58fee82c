// SPDX-License-Identifier: Apache-2.0
/** The lock of the directory of pins: whose the mount is, and a directory that does not stay. Any file system stands for bpffs. */
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
import type { Native } from '../../daemon/capture/native.ts';
import { takeLock } from '../../daemon/capture/pin_lock.ts';

let mount: string;
let root: string;
beforeEach(() => {
	mount = mkdtempSync(join(tmpdir(), 'toascope-pins-'));
	root = join(mount, 'toascope');
});
afterEach(() => rmSync(mount, { recursive: true }));

const native = { lock: (path: string) => openSync(path, 'r') } as unknown as Native;

it.each([0o700, 0o755, 0o775, 0o1777])('takes a mount of mode %o', (mode) => {
	chmodSync(mount, mode);
	closeSync(takeLock(native, root, [], undefined));
});

it('refuses one in which every user could rename the pins', () => {
	chmodSync(mount, 0o777);
	const hint = expect.stringContaining(`chmod 0700 ${mount}`);
	expect(() => takeLock(native, root, [], undefined)).toThrow(expect.objectContaining({ code: 'NO_BPFFS', hint }));
});

it('does not keep the lock of a directory that was replaced meanwhile', () => {
	let times = 0;
	const lock = (path: string): number => {
		const fd = openSync(path, 'r');
		if (times++ === 0) {
			// the new one before the old one is gone: it has another number
			mkdirSync(`${path}-next`);
			rmdirSync(path);
			renameSync(`${path}-next`, path);
		}
		return fd;
	};
	const fd = takeLock({ lock } as unknown as Native, root, [], undefined);
	expect(fstatSync(fd).ino).toBe(statSync(root).ino);
	expect(times).toBe(2);
	closeSync(fd);
});

it('gives up where the directory is removed as often as it is made', () => {
	let times = 0;
	const lock = (path: string): number => {
		times++;
		rmdirSync(path);
		throw Object.assign(new Error('gone'), { code: 'ENOENT' });
	};
	expect(() => takeLock({ lock } as unknown as Native, root, [], undefined)).toThrow(/is removed or replaced as often/);
	expect(times).toBe(100);
});
