// SPDX-License-Identifier: Apache-2.0
/** The sources of toa.ko: part of this installation, and copied elsewhere before a build. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { reasonOf } from '../directories.ts';
import { ToascopeError } from '../errors.ts';

/** Names of source files, as opposed to what a build leaves behind. */
const source = /^(?:Kbuild|Makefile|dkms\.conf|toa_\w+\.(?:[ch]|def)|probes(?:\/\w+\.c)?)$/;

/** The folder beside daemon/, or beside dist/. @throws {ToascopeError} MISSING_TOOL */
function findSources(): string {
	const candidates = ['../../kernel', '../../../kernel'].map((path) => new URL(path, import.meta.url).pathname);
	const found = candidates.find((path) => existsSync(join(path, 'Kbuild')));
	if (found === undefined) {
		throw new ToascopeError('MISSING_TOOL', 'the sources of toa.ko are not part of this installation', {
			hint: 'install toascope again: its folder kernel/ is missing',
		});
	}
	return found;
}

/**
 * Copies the sources to a directory, replacing it.
 * @throws {ToascopeError} NO_PRIVILEGE, MISSING_TOOL
 */
export function copySources(to: string): void {
	const from = findSources();
	try {
		rmSync(to, { recursive: true, force: true });
		mkdirSync(to, { recursive: true, mode: 0o755 });
		const filter = (path: string) => path === from || source.test(path.slice(from.length + 1));
		cpSync(from, to, { recursive: true, filter });
	} catch (cause) {
		throw new ToascopeError('NO_PRIVILEGE', `cannot copy the sources of toa.ko to ${to}: ${reasonOf(cause)}`, {
			hint: 'run it as root',
			cause,
		});
	}
}

/** Whether a directory has exactly the sources of this installation. */
export function hasSameSources(directory: string): boolean {
	const from = findSources();
	const names = readdirSync(from, { recursive: true, encoding: 'utf8' }).filter(
		(name) => name !== 'probes' && source.test(name),
	);
	return names.every((name) => {
		const copy = join(directory, name);
		return existsSync(copy) && readFileSync(copy).equals(readFileSync(join(from, name)));
	});
}
