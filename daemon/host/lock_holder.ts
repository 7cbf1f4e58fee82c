// SPDX-License-Identifier: Apache-2.0
/** Finds the process that holds the lock of a file. */
import { readFileSync, statSync } from 'node:fs';

/**
 * The process that holds the lock of a file: proc(5), /proc/locks. Only for messages: if no lock is
 * on the file's device, the lock of a file with the same inode number on another device is assumed
 * to be it.
 */
export function lockHolder(path: string): number | undefined {
	const { exact, likely } = holders(path);
	return exact ?? likely;
}

/**
 * The process that holds the lock of exactly this file. Unknown on file systems whose locks name
 * another device (overlayfs).
 */
export function exactLockHolder(path: string): number | undefined {
	return holders(path).exact;
}

function holders(path: string): { readonly exact?: number | undefined; readonly likely?: number | undefined } {
	const found = statSync(path, { bigint: true, throwIfNoEntry: false });
	if (found === undefined) return {};
	const { ino, dev } = found;
	const locks = readFileSync('/proc/locks', 'utf8')
		.split('\n')
		.map((line) => line.trim().split(/\s+/))
		.filter(([, kind, , , , file]) => kind === 'FLOCK' && file?.endsWith(`:${ino}`) === true);
	// inode numbers repeat across file systems, and locks on some (overlayfs) name another device
	const device = [(dev >> 8n) & 0xfffn, (dev & 0xffn) | ((dev >> 12n) & 0xfff00n)];
	const name = device.map((number) => number.toString(16).padStart(2, '0')).join(':');
	const pid = ([, , , , holder]: readonly string[] = []) => (holder === undefined ? undefined : Number(holder));
	return { exact: pid(locks.find((fields) => fields[5]?.startsWith(`${name}:`))), likely: pid(locks[0]) };
}
