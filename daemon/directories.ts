// SPDX-License-Identifier: Apache-2.0
/** Directories that are made when needed and go when they are not, and what files refuse, in words. */
import { mkdirSync, rmdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

/**
 * Makes a directory and those above it that are missing. Not mkdir's `recursive`: where a file system lets nobody make
 * directories (procfs) that of Node.js tries for ever.
 *
 * @param made is given each that was made, the outermost first, also when it throws
 * @throws what mkdir(2) says; never EEXIST where it is a directory already
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

/** Takes directories away, the last of them first; one in which something is, or that is not ours to remove, stays. */
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
	EEXIST: 'a file has that name',
	EISDIR: 'is a directory',
	ELOOP: 'too many symbolic links',
	ENAMETOOLONG: 'the name is too long',
	ENOENT: 'no such file or directory',
	ENOSPC: 'no space left',
	ENOTDIR: 'a part of the path is no directory',
	EPERM: 'not permitted',
	EROFS: 'the file system is read-only',
};

/** What a failed system call on a file means, in words. */
export function reasonOf(error: unknown): string {
	const { code = '', message = String(error) } = error as NodeJS.ErrnoException;
	return reasons[code] ?? message;
}
