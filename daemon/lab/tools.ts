// SPDX-License-Identifier: Apache-2.0
/** The system's programs that the lab requires. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { ToascopeError } from '../errors.ts';

/** PATH does not always contain these. */
const administrators = ['/usr/sbin', '/sbin'];

const names = ['ip', 'nsenter', 'setpriv', 'sh', 'unshare'] as const;

/** Path of each tool. */
export type Tools = Readonly<Record<(typeof names)[number], string>>;

function executable(path: string): boolean {
	try {
		accessSync(path, constants.X_OK);
		return true;
	} catch {
		return false;
	}
}

/**
 * Finds the tools in `path` (as in PATH), then in `more`.
 * @throws ToascopeError MISSING_TOOL that names all that are missing.
 */
export function findTools(path: string = process.env.PATH ?? '', more: readonly string[] = administrators): Tools {
	const folders = [...path.split(':').filter((folder) => folder !== ''), ...more];
	const found = names.map((name) => [name, folders.map((folder) => join(folder, name)).find(executable)] as const);
	const missing = found.filter(([, file]) => file === undefined).map(([name]) => name);
	if (missing.length > 0) {
		throw new ToascopeError('MISSING_TOOL', `the lab requires ${missing.join(', ')}: not found on this system`, {
			hint: 'apt-get install iproute2 util-linux (dnf install iproute util-linux, zypper install iproute2 util-linux)',
		});
	}
	return Object.fromEntries(found) as Tools;
}
