// SPDX-License-Identifier: Apache-2.0
/** Creates the directory of pins if it is missing, checks it, and locks it for one daemon. */
import { closeSync, fstatSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Native, NativeError } from '../../../native/binding.ts';
import { makeDirectories } from '../../directories.ts';
import { ToascopeError } from '../../errors.ts';
import { lockHolder } from '../../host/lock_holder.ts';
import { findBpffs, readMounts } from '../../host/mounts.ts';
import { type LogSink, logLine } from '../../log_line.ts';
import { logLines } from '../../log_lines.ts';
import { constant } from '../records/layout.gen.ts';
import { descriptorPath, isSame, openToOthers, ownDirectory, requireOwn, requireOwnMount } from './pin_directory.ts';

/** The directory of this layout. */
export const layoutName = `v${constant.TOASCOPE_LAYOUT}`;

/**
 * How often the directory is created before the start fails: a process that removes it this often
 * is not a stopping daemon.
 */
const triesMax = 100;

/**
 * Creates the directories and acquires the lock. Other daemons remove the empty directories that
 * they created when they stop or are refused, so the locked directory can be gone from its path, or
 * another can be there: then it retries. Once the directory is not empty, it stays.
 * @throws {ToascopeError} NO_BPFFS, ALREADY_RUNNING
 */
export function acquireLock(native: Native, root: string, created: string[], log: LogSink | undefined): number {
	const mount = findBpffs(readMounts(), root)?.point ?? dirname(root);
	requireOwnMount(mount);
	for (let tries = 0; tries < triesMax; tries++) {
		// check first: otherwise something could be created in a directory of another user
		ownDirectory(mount, root, log);
		makeDirectories(root, 0o700, created);
		let lock: number;
		try {
			lock = native.lock(root);
		} catch (error) {
			if ((error as NativeError).code === 'ENOENT') continue;
			throw error;
		}
		if (lock < 0) throw alreadyRunning(root);
		const isCurrent = () => isSame(fstatSync(lock), ownDirectory(mount, root, log));
		try {
			if (isCurrent()) makeParts(lock, root, created);
			if (isCurrent()) return lock;
		} catch (error) {
			closeSync(lock);
			throw error;
		}
		closeSync(lock);
	}
	throw new ToascopeError('NO_BPFFS', `${root} is removed or replaced as often as it is created`, {
		hint: `find the process that does that, such as a job that cleans up ${mount}, or set bpf.pin to another directory`,
	});
}

/**
 * Creates the directory of the layout and those in it through the descriptor of the lock, or checks
 * that they belong to this user.
 */
export function makeParts(lock: number, root: string, created: string[]): void {
	for (const part of ['', 'maps', 'links']) {
		const inside = join(layoutName, part);
		const createdHere: string[] = [];
		makeDirectories(join(descriptorPath(lock), inside), 0o700, createdHere);
		if (createdHere.length > 0) created.push(join(root, inside));
		else requireOwn(lock, inside, root);
	}
}

export function warnOpenDirectory(root: string, log: LogSink): void {
	const mount = findBpffs(readMounts(), root)?.point;
	const mode = mount === undefined ? undefined : openToOthers(mount);
	if (mode !== undefined) logLine(log, logLines.bpffsOpen, { mount, mode });
}

export function alreadyRunning(root: string): ToascopeError {
	const pid = lockHolder(root);
	return new ToascopeError(
		'ALREADY_RUNNING',
		`another toascope${pid === undefined ? '' : ` (pid ${pid})`} is using ${root}`,
		{
			hint: 'stop it first, or set bpf.pin to another directory',
		},
	);
}
