// SPDX-License-Identifier: Apache-2.0
/** The file system that pins are on, mounted where nobody has. */
import { closeSync, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ToascopeError } from '../errors.ts';
import { findBpffs, type Mount, readMounts } from './mounts.ts';
import type { Native } from './native.ts';

const standardPoint = '/sys/fs/bpf';

/** What the kernel itself puts into a bpffs (kernel/bpf/inode.c, populate_bpffs()). */
const isKernels = (name: string) => /^(maps|progs)\.debug$/.test(name);

/** What is pinned on a bpffs itself has names that others may use, and a lock there keeps them from theirs. */
export function refuseMount(mount: Mount | undefined, root: string): void {
	if (mount?.point !== root) return;
	throw new ToascopeError('CONFIG_INVALID', `bpf.pin: ${root} is a bpffs itself, where others pin as well`, {
		hint: `set bpf.pin to a directory below it, such as ${join(root, 'toascope')}`,
	});
}

/**
 * Mounts bpffs where it is missing. Returns the number of the file system's device where it did.
 * @throws {ToascopeError} CONFIG_INVALID (others pin there as well), NO_BPFFS
 */
export function ensureBpffs(native: Native, root: string): number | undefined {
	const mount = findBpffs(readMounts(), root);
	refuseMount(mount, root);
	if (mount?.readOnly === true) {
		throw new ToascopeError('NO_BPFFS', `bpffs at ${mount.point} is read-only`, {
			hint: `mount -o remount,rw ${mount.point}, or set bpf.pin to off`,
		});
	}
	if (mount !== undefined) return undefined;
	if (!(root.startsWith(`${standardPoint}/`) && existsSync(standardPoint))) {
		throw new ToascopeError('NO_BPFFS', `${root} is not on a bpffs`, {
			hint: `set bpf.pin to a directory below ${standardPoint}, or mount one: mount -t bpf -o mode=0700 bpf DIRECTORY`,
		});
	}
	// of several that find none, one mounts it: a second mount would hide what the first has pinned by then
	let door = -1;
	try {
		door = lockPoint(native);
		if (findBpffs(readMounts(), root) !== undefined) return undefined;
		native.mountBpffs(standardPoint);
		return statSync(standardPoint).dev;
	} catch (cause) {
		throw new ToascopeError('NO_BPFFS', `no bpffs is mounted, and it cannot be mounted: ${(cause as Error).message}`, {
			hint: `mount -t bpf -o mode=0700 bpf ${standardPoint} as root, or set bpf.pin to off`,
			cause,
		});
	} finally {
		if (door >= 0) closeSync(door);
	}
}

/** Who mounts has it for less than a millisecond; any user may have it for longer, and is not waited for. */
function lockPoint(native: Native): number {
	const pause = new Int32Array(new SharedArrayBuffer(4));
	for (let tries = 0; tries < 100; tries++) {
		const lock = native.lock(standardPoint);
		if (lock >= 0) return lock;
		Atomics.wait(pause, 0, 0, 2);
	}
	return -1;
}

/** Where this process mounted it: takes it away, unless somebody else has something in there, or has mounted another over it. */
export function unmountBpffs(native: Native, device: number): void {
	if (statSync(standardPoint).dev !== device) return;
	if (readdirSync(standardPoint).every(isKernels)) native.unmount(standardPoint);
}
