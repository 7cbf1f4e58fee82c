// SPDX-License-Identifier: Apache-2.0
/** Mounts bpffs, the file system for pins, if it is not mounted. */
import { closeSync, existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Native } from '../../native/binding.ts';
import { ToascopeError } from '../errors.ts';
import { findBpffs, type Mount, readMounts } from './mounts.ts';

const bpffsPoint = '/sys/fs/bpf';

/** Entries that the kernel itself creates in a bpffs (kernel/bpf/inode.c, populate_bpffs()). */
const isKernelEntry = (name: string) => /^(maps|progs)\.debug$/.test(name);

/**
 * Refuses the mount point of a bpffs as the directory of pins: other programs can use the same
 * names there, and a lock on it would block theirs.
 */
export function requireNotMountPoint(mount: Mount | undefined, root: string): void {
	if (mount?.point !== root) return;
	throw new ToascopeError('CONFIG_INVALID', `bpf.pin: ${root} is itself a bpffs mount, where other programs pin too`, {
		hint: `set bpf.pin to a directory below it, such as ${join(root, 'toascope')}`,
	});
}

/**
 * Mounts bpffs if it is missing. Returns the device number of the file system that it mounted;
 * undefined: one was mounted already.
 * @throws {ToascopeError} CONFIG_INVALID (`root` is a mount point, which is shared), NO_BPFFS
 */
export function ensureBpffs(native: Native, root: string): number | undefined {
	const mount = findBpffs(readMounts(), root);
	requireNotMountPoint(mount, root);
	if (mount?.readOnly === true) {
		throw new ToascopeError('NO_BPFFS', `bpffs at ${mount.point} is read-only`, {
			hint: `mount -o remount,rw ${mount.point}, or set bpf.pin to off`,
		});
	}
	if (mount !== undefined) return undefined;
	if (!(root.startsWith(`${bpffsPoint}/`) && existsSync(bpffsPoint))) {
		throw new ToascopeError('NO_BPFFS', `${root} is not on a bpffs`, {
			hint: `set bpf.pin to a directory below ${bpffsPoint}, or mount one: mount -t bpf -o mode=0700 bpf DIRECTORY`,
		});
	}
	// locked, because a mount by a second daemon would hide what the first has pinned by then
	let lockFd = -1;
	try {
		lockFd = lockMountPoint(native);
		if (findBpffs(readMounts(), root) !== undefined) return undefined;
		native.mountBpffs(bpffsPoint);
		return statSync(bpffsPoint).dev;
	} catch (cause) {
		throw new ToascopeError('NO_BPFFS', `bpffs is not mounted and cannot be mounted: ${(cause as Error).message}`, {
			hint: `mount -t bpf -o mode=0700 bpf ${bpffsPoint} as root, or set bpf.pin to off`,
			cause,
		});
	} finally {
		if (lockFd >= 0) closeSync(lockFd);
	}
}

/**
 * Returns the descriptor of the lock, or -1. A daemon that mounts bpffs holds the lock for less
 * than a millisecond; any other user can hold it for longer, and the wait for that is limited.
 */
function lockMountPoint(native: Native): number {
	const pause = new Int32Array(new SharedArrayBuffer(4));
	for (let tries = 0; tries < 100; tries++) {
		const lock = native.lock(bpffsPoint);
		if (lock >= 0) return lock;
		Atomics.wait(pause, 0, 0, 2);
	}
	return -1;
}

/**
 * Unmounts the bpffs that this process mounted, unless it has entries of other programs or another
 * file system was mounted over it.
 */
export function unmountBpffs(native: Native, device: number): void {
	if (statSync(bpffsPoint).dev !== device) return;
	if (readdirSync(bpffsPoint).every(isKernelEntry)) native.unmount(bpffsPoint);
}
