// SPDX-License-Identifier: Apache-2.0
/** Directories that are made when needed: which ones, and what becomes of them. */
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

it('makes what is missing, and takes exactly that away', () => {
	const made = makeDirectories(join(folder, 'a/b/c'), 0o700);
	expect(made).toEqual(['a', 'a/b', 'a/b/c'].map((path) => join(folder, path)));
	expect(statSync(join(folder, 'a/b')).mode & 0o777).toBe(0o700);
	expect(makeDirectories(join(folder, 'a/b/c'), 0o700)).toEqual([]);
	const more = makeDirectories(join(folder, 'a/d'), 0o700);
	removeDirectories(made);
	// a is not empty
	expect(readdirSync(join(folder, 'a'))).toEqual(['d']);
	removeDirectories([...made, ...more]);
	expect(existsSync(join(folder, 'a'))).toBe(false);
});

it('tells what it made also when it fails on the way', () => {
	const made: string[] = [];
	expect(() => makeDirectories(join(folder, 'a', 'x'.repeat(300)), 0o700, made)).toThrow(
		expect.objectContaining({ code: 'ENAMETOOLONG' }),
	);
	removeDirectories(made);
	expect(readdirSync(folder)).toEqual([]);
});

it.each([
	['a file in the way', (at: string) => join(at, 'file/x'), 'ENOTDIR'],
	['a file of that name', (at: string) => join(at, 'file'), 'EEXIST'],
	// mkdir's own `recursive` never comes back here
	['a file system that lets nobody make directories', () => '/proc/toascope/x', 'ENOENT'],
])('refuses %s', (_what, path, code) => {
	writeFileSync(join(folder, 'file'), '');
	expect(() => makeDirectories(path(folder), 0o700)).toThrow(expect.objectContaining({ code }));
});
