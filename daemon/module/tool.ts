// SPDX-License-Identifier: Apache-2.0
/** Runs the system's own tools: make, insmod, modprobe, rmmod, modinfo, dkms. */
import { execFile, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** A service, or sudo, may have it without the directories of the administrator's tools. */
const path = [
	// an empty or relative one would be the current directory, whoever's that is
	...(process.env['PATH'] ?? '').split(delimiter).filter(isAbsolute),
	'/usr/local/sbin',
	'/usr/sbin',
	'/sbin',
	'/usr/bin',
	'/bin',
];
const outputMax = 16 << 20;

/** Their messages are read. */
const environment = () => ({ ...process.env, PATH: path.join(delimiter), LC_ALL: 'C' });

export interface Ran {
	/** Exit code; undefined: it is not installed, or a signal ended it. */
	readonly code: number | undefined;
	/** Standard output and standard error. */
	readonly output: string;
}

export function runTool(file: string, args: readonly string[], cwd?: string): Promise<Ran> {
	return new Promise((resolve) => {
		execFile(file, args, { cwd, env: environment(), maxBuffer: outputMax }, (error, stdout, stderr) => {
			const { code } = (error ?? { code: 0 }) as { code?: number | string };
			resolve({ code: typeof code === 'number' ? code : undefined, output: `${stdout}${stderr}` });
		});
	});
}

/** The same for the end of a process, which cannot wait. */
export function runToolNow(file: string, args: readonly string[]): Ran {
	const { status, stdout, stderr } = spawnSync(file, args, { env: environment(), encoding: 'utf8' });
	return { code: status ?? undefined, output: `${stdout ?? ''}${stderr ?? ''}` };
}

export function isInstalled(file: string): boolean {
	return path.some((directory) => {
		try {
			accessSync(join(directory, file), constants.X_OK);
			return true;
		} catch {
			return false;
		}
	});
}

/** The last lines of an output, as an error's detail. */
export function lastLines(output: string, count = 12): string {
	return output.trimEnd().split('\n').slice(-count).join('\n');
}
