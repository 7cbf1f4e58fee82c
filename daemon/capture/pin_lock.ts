// SPDX-License-Identifier: Apache-2.0
/** The directory of pins, made where it is missing, looked at, and locked for one daemon. */
import { closeSync, fstatSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { makeDirectories } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { type LogSink, logLines, tell } from '../log_lines.ts';
import { limit } from './layout.gen.ts';
import { lockHolder } from './lock_holder.ts';
import { findBpffs, readMounts } from './mounts.ts';
import type { Native, NativeError } from './native.ts';
import { descriptorPath, isSame, openToOthers, ownDirectory, requireOwn, requireOwnMount } from './pin_directory.ts';

/** The directory of this layout. */
export const layoutName = `v${limit.TOASCOPE_LAYOUT}`;

/** How often the directory is made again before a start gives up: what removes it time and again is no daemon that ends. */
const triesMax = 100;

/**
 * Makes the directories and takes the lock. Others take away what they made, and is empty, when they end or are refused: the
 * directory that is locked may be gone from its place, or none may be there. Once something is in it, it stays.
 * @throws {ToascopeError} NO_BPFFS, ALREADY_RUNNING
 */
export function takeLock(native: Native, root: string, made: string[], log: LogSink | undefined): number {
	const mount = findBpffs(readMounts(), root)?.point ?? dirname(root);
	requireOwnMount(mount);
	for (let tries = 0; tries < triesMax; tries++) {
		// before anything is made there: it could be made in a directory of others
		ownDirectory(mount, root, log);
		makeDirectories(root, 0o700, made);
		let lock: number;
		try {
			lock = native.lock(root);
		} catch (error) {
			if ((error as NativeError).code === 'ENOENT') continue;
			throw error;
		}
		if (lock < 0) throw alreadyRunning(root);
		const inPlace = () => isSame(fstatSync(lock), ownDirectory(mount, root, log));
		try {
			if (inPlace()) makeParts(lock, root, made);
			if (inPlace()) return lock;
		} catch (error) {
			closeSync(lock);
			throw error;
		}
		closeSync(lock);
	}
	throw new ToascopeError('NO_BPFFS', `${root} is removed or replaced as often as it is made`, {
		hint: `find what does that, such as a job that cleans up ${mount}, or set bpf.pin to another directory`,
	});
}

/** The directory of the layout and those in it: by the lock's descriptor, and this user's alone. */
export function makeParts(lock: number, root: string, made: string[]): void {
	for (const part of ['', 'maps', 'links']) {
		const inside = join(layoutName, part);
		const fresh: string[] = [];
		makeDirectories(join(descriptorPath(lock), inside), 0o700, fresh);
		if (fresh.length > 0) made.push(join(root, inside));
		else requireOwn(lock, inside, root);
	}
}

export function tellOpen(root: string, log: LogSink): void {
	const mount = findBpffs(readMounts(), root)?.point;
	const mode = mount === undefined ? undefined : openToOthers(mount);
	if (mode !== undefined) tell(log, logLines.bpffsOpen, { mount, mode });
}

export function alreadyRunning(root: string): ToascopeError {
	const pid = lockHolder(root);
	return new ToascopeError(
		'ALREADY_RUNNING',
		`another toascope${pid === undefined ? '' : ` (pid ${pid})`} has ${root}`,
		{
			hint: 'stop it first, or set bpf.pin to another directory',
		},
	);
}
