// SPDX-License-Identifier: Apache-2.0
/** Directories that are created when needed: which ones are created, and how they are removed. */
import { existsSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { makeDirectories, removeDirectories } from '../../daemon/directories.ts';

let folder = '';
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'toascope-directories-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('creates the missing directories, and removes exactly those', () => {
	const created = makeDirectories(join(folder, 'a/b/c'), 0o700);
	expect(created).toEqual(['a', 'a/b', 'a/b/c'].map((path) => join(folder, path)));
	expect(statSync(join(folder, 'a/b')).mode & 0o777).toBe(0o700);
	expect(makeDirectories(join(folder, 'a/b/c'), 0o700)).toEqual([]);
	const more = makeDirectories(join(folder, 'a/d'), 0o700);
	removeDirectories(created);
	// a is not empty
	expect(readdirSync(join(folder, 'a'))).toEqual(['d']);
	removeDirectories([...created, ...more]);
	expect(existsSync(join(folder, 'a'))).toBe(false);
});

it('reports the directories that it created even if it fails halfway', () => {
	const created: string[] = [];
	expect(() => makeDirectories(join(folder, 'a', 'x'.repeat(300)), 0o700, created)).toThrow(
		expect.objectContaining({ code: 'ENAMETOOLONG' }),
	);
	removeDirectories(created);
	expect(readdirSync(folder)).toEqual([]);
});

it.each([
	['a path below a file', (at: string) => join(at, 'file/x'), 'ENOTDIR'],
	['a path that is a file', (at: string) => join(at, 'file'), 'EEXIST'],
	// Node's own recursive mkdir never returns for this path
	['a file system that does not allow directories', () => '/proc/toascope/x', 'ENOENT'],
])('throws for %s', (_what, path, code) => {
	writeFileSync(join(folder, 'file'), '');
	expect(() => makeDirectories(path(folder), 0o700)).toThrow(expect.objectContaining({ code }));
});
