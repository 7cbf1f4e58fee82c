// SPDX-License-Identifier: Apache-2.0
/**
 * Loads toa.ko at boot, with parameters that trust no network beyond the configuration's:
 * modules-load.d(5), modprobe.d(5).
 */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Config } from '../config/config.ts';
import { reasonOf } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { readText } from '../host/files.ts';
import { hostRoots, type Roots } from '../host/roots.ts';
import { loadArguments } from './parameters.ts';

/** First line of a file that `toascope module install` wrote, and so is free to overwrite. */
const mark = '# toascope module install';

export function modulesLoadFile({ etc }: Roots = hostRoots): string {
	return join(etc, 'modules-load.d/toa.conf');
}

export function modprobeFile({ etc }: Roots = hostRoots): string {
	return join(etc, 'modprobe.d/toa.conf');
}

export function isLoadedAtBoot(roots: Roots = hostRoots): boolean {
	return existsSync(modulesLoadFile(roots));
}

/**
 * Writes the parameters first, so that an interruption in between leaves nothing to load at boot. A
 * parameters file that toascope did not write stays. Returns the steps as text for the user.
 * @throws {ToascopeError} NO_PRIVILEGE
 */
export function loadAtBoot(config: Pick<Config, 'profiles' | 'trust' | 'sockopt'>, roots: Roots = hostRoots): string[] {
	const options = `options toa ${loadArguments(config).join(' ')}`;
	const [parameters, load] = [modprobeFile(roots), modulesLoadFile(roots)];
	const existing = readText(parameters);
	const isForeign = existing !== undefined && existing !== '' && !existing.startsWith(`${mark}\n`);
	if (!isForeign) write(parameters, options);
	write(load, 'toa');
	const step = isForeign
		? 'not written by toascope, left unchanged; the configuration would set:'
		: 'at boot, until the daemon runs:';
	return [`${parameters}: ${step} ${shortened(options)}`, `${load}: loaded at boot`];
}

/** Keeps a long list of networks from filling the terminal. */
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
