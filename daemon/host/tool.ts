// SPDX-License-Identifier: Apache-2.0
/** Runs the system's own tools: make, insmod, modprobe, rmmod, modinfo, dkms. */
import { execFile, spawnSync } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, isAbsolute, join } from 'node:path';

/** PATH, and directories of administration tools that a service or sudo can lack in it. */
const path = [
	// an empty or relative entry means the current directory, which can belong to any user
	...(process.env['PATH'] ?? '').split(delimiter).filter(isAbsolute),
	'/usr/local/sbin',
	'/usr/sbin',
	'/sbin',
	'/usr/bin',
	'/bin',
];
const outputMax = 16 << 20;

/** LC_ALL=C, because the messages of the tools are parsed. */
const environment = () => ({ ...process.env, PATH: path.join(delimiter), LC_ALL: 'C' });

export interface ToolResult {
	/** Exit code; undefined: the tool is not installed, or a signal ended it. */
	readonly code: number | undefined;
	/** Standard output and standard error. */
	readonly output: string;
}

export function runTool(file: string, args: readonly string[], cwd?: string): Promise<ToolResult> {
	return new Promise((resolve) => {
		execFile(file, args, { cwd, env: environment(), maxBuffer: outputMax }, (error, stdout, stderr) => {
			const { code } = (error ?? { code: 0 }) as { code?: number | string };
			resolve({ code: typeof code === 'number' ? code : undefined, output: `${stdout}${stderr}` });
		});
	});
}

/** Blocks until the tool has ended, for a process that is ending and cannot await it. */
export function runToolSync(file: string, args: readonly string[]): ToolResult {
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

/** The last lines of an output, for the detail of an error. */
export function lastLines(output: string, count = 12): string {
	return output.trimEnd().split('\n').slice(-count).join('\n');
}
