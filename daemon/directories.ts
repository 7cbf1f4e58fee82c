// SPDX-License-Identifier: Apache-2.0
/**
 * Directories that are created when needed and removed when unused, and the failures of system
 * calls on files, in words.
 */
import { mkdirSync, rmdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Creates a directory and those above it that are missing. mkdir's `recursive` is not used: on a
 * file system that does not allow directories to be created (procfs) Node.js retries forever.
 *
 * @param made receives each directory that was created, the outermost first, also when this throws
 * @throws the error of mkdir(2); never EEXIST where the directory exists already
 */
export function makeDirectories(path: string, mode: number, made: string[] = []): string[] {
	try {
		mkdirSync(path, { mode });
		made.push(path);
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === 'EEXIST' && isDirectory(path)) return made;
		const above = dirname(path);
		if (code !== 'ENOENT' || isDirectory(above)) throw error;
		makeDirectories(above, mode, made);
		makeDirectories(path, mode, made);
	}
	return made;
}

function isDirectory(path: string): boolean {
	return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

const kept = ['ENOTEMPTY', 'EEXIST', 'EBUSY', 'EACCES', 'EPERM'];

/**
 * Removes directories, the last of them first. Stops at one that is not empty, or that this process
 * is not allowed to remove.
 */
export function removeDirectories(made: readonly string[]): void {
	for (const path of made.toReversed()) {
		try {
			rmdirSync(path);
		} catch (error) {
			const { code = '' } = error as NodeJS.ErrnoException;
			if (kept.includes(code)) return;
			if (code !== 'ENOENT') throw error;
		}
	}
}

const reasons: Readonly<Record<string, string>> = {
	EACCES: 'permission denied',
	EEXIST: 'a file of that name exists',
	EISDIR: 'is a directory',
	ELOOP: 'too many symbolic links',
	ENAMETOOLONG: 'the name is too long',
	ENOENT: 'no such file or directory',
	ENOSPC: 'no space left',
	ENOTDIR: 'a path component is not a directory',
	EPERM: 'not permitted',
	EROFS: 'the file system is read-only',
};

/** Why a system call on a file failed, in words. */
export function reasonOf(error: unknown): string {
	const { code = '', message = String(error) } = error as NodeJS.ErrnoException;
	return reasons[code] ?? message;
}
