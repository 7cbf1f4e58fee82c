// SPDX-License-Identifier: Apache-2.0
/** Runs programs for the harness, at the lowest priority: tests on this kernel run at the same time. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** A package archive can stop answering. The longest run, which creates a chroot, takes minutes. */
const limitMs = 15 * 60_000;

interface Options {
	readonly cwd?: string;
	/** Additional variables for its environment. */
	readonly env?: NodeJS.ProcessEnv;
}

interface Output {
	readonly stdout: string;
	readonly stderr: string;
}

/** @throws Error with all of its output. */
async function finished(file: string, args: readonly string[], { cwd, env }: Options = {}): Promise<Output> {
	try {
		return await execute('nice', ['-n', '19', file, ...args], {
			cwd,
			env: { ...process.env, ...env },
			maxBuffer: 64 << 20,
			timeout: limitMs,
		});
	} catch (error) {
		const { stdout = '', stderr = '', killed } = error as Partial<Output> & { killed?: boolean };
		const late = killed === true ? `ended after ${limitMs / 1000} s\n` : '';
		throw new Error(`${file} ${args.join(' ')}\n${late}${stdout}${stderr}`, { cause: error });
	}
}

/** Returns standard output and standard error. @throws Error with all of its output. */
export async function run(file: string, args: readonly string[], options?: Options): Promise<string> {
	const { stdout, stderr } = await finished(file, args, options);
	return stdout + stderr;
}

/** Returns only standard output. @throws Error with all of its output. */
export async function output(file: string, args: readonly string[]): Promise<string> {
	const { stdout } = await finished(file, args);
	return stdout;
}
