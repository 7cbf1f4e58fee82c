// SPDX-License-Identifier: Apache-2.0
/** Programs and packages that tests need and no distribution has: made once, below build/. */
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * Resolves to `path`, which `make` makes if it does not exist: it gets a directory for its work and
 * returns what in it, or that it is itself, is renamed to `path`.
 *
 * Resolves to undefined, with a line for the log, if that fails with a message that `unavailable`
 * matches, by default any: the tests that require it are then skipped.
 */
export async function madeOnce(
	path: string,
	make: (directory: string) => Promise<string>,
	unavailable = /^/,
): Promise<string | undefined> {
	if (existsSync(path)) return path;
	mkdirSync(dirname(path), { recursive: true });
	const directory = mkdtempSync(join(dirname(path), `${basename(path)}.`));
	try {
		renameSync(await make(directory), path);
	} catch (error) {
		const { message } = error as Error;
		if (!unavailable.test(message)) throw error;
		const reason = message.split('\n').slice(0, 20).join('\n');
		console.log(`!! ${basename(path)} cannot be made, and the tests that require it are skipped: ${reason}`);
		return undefined;
	} finally {
		rmSync(directory, { recursive: true, force: true });
	}
	return path;
}
