// SPDX-License-Identifier: Apache-2.0
/** What loads toa.ko at boot, and believes nobody there whom the configuration does not: modules-load.d(5), modprobe.d(5). */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../config/config.ts';
import { reasonOf } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { readText } from './loaded.ts';
import { loadArguments } from './parameters.ts';
import { hostRoots, type Roots } from './roots.ts';

/** The first line of a file that may be written anew. */
const mark = '# toascope module install';

export function loadFile({ etc }: Roots = hostRoots): string {
	return join(etc, 'modules-load.d/toa.conf');
}

export function parametersFile({ etc }: Roots = hostRoots): string {
	return join(etc, 'modprobe.d/toa.conf');
}

export function isLoadedAtBoot(roots: Roots = hostRoots): boolean {
	return existsSync(loadFile(roots));
}

/**
 * The parameters come first: a machine that stops in between loads nothing. A parameters' file that somebody else wrote
 * stays. Returns the steps, in words.
 * @throws {ToascopeError} NO_PRIVILEGE
 */
export function loadAtBoot(config: Pick<Config, 'profiles' | 'trust' | 'sockopt'>, roots: Roots = hostRoots): string[] {
	const options = `options toa ${loadArguments(config).join(' ')}`;
	const [parameters, load] = [parametersFile(roots), loadFile(roots)];
	const theirs = readText(parameters);
	const isTheirs = theirs !== undefined && theirs !== '' && !theirs.startsWith(`${mark}\n`);
	if (!isTheirs) write(parameters, options);
	write(load, 'toa');
	const step = isTheirs
		? 'left as somebody else wrote it; by the configuration it would say:'
		: 'at boot, until the daemon runs:';
	return [`${parameters}: ${step} ${shortened(options)}`, `${load}: loaded at boot`];
}

/** On a terminal. */
function shortened(text: string): string {
	return text.length > 400 ? `${text.slice(0, 400)}...` : text;
}

function write(file: string, line: string): void {
	try {
		mkdirSync(dirname(file), { recursive: true });
		writeFileSync(file, `${mark}\n${line}\n`, { mode: 0o644 });
	} catch (cause) {
		throw new ToascopeError('NO_PRIVILEGE', `cannot write ${file}: ${reasonOf(cause)}`, {
			hint: 'run it as root',
			cause,
		});
	}
}
