// SPDX-License-Identifier: Apache-2.0
/** Programs that the harness runs. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** A package archive may stop to answer; the longest of them, a chroot, takes some minutes. */
const limitMs = 15 * 60_000;

interface Options {
	readonly cwd?: string;
	/** More for its environment. */
	readonly env?: NodeJS.ProcessEnv;
}

interface Said {
	readonly stdout: string;
	readonly stderr: string;
}

/** @throws Error with all that it said. */
async function finished(file: string, args: readonly string[], { cwd, env }: Options = {}): Promise<Said> {
	try {
		return await execute(file, args, { cwd, env: { ...process.env, ...env }, maxBuffer: 64 << 20, timeout: limitMs });
	} catch (error) {
		const { stdout = '', stderr = '', killed } = error as Partial<Said> & { killed?: boolean };
		const late = killed === true ? `ended after ${limitMs / 1000} s\n` : '';
		throw new Error(`${file} ${args.join(' ')}\n${late}${stdout}${stderr}`, { cause: error });
	}
}

/** Standard output and standard error. @throws Error with all that it said. */
export async function run(file: string, args: readonly string[], options?: Options): Promise<string> {
	const { stdout, stderr } = await finished(file, args, options);
	return stdout + stderr;
}

/** Standard output alone. @throws Error with all that it said. */
export async function output(file: string, args: readonly string[]): Promise<string> {
	const { stdout } = await finished(file, args);
	return stdout;
}
