// SPDX-License-Identifier: Apache-2.0
/** Programs that the harness runs. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

interface Options {
	readonly cwd?: string;
}

/** Standard output and standard error. @throws Error with all that it said. */
export async function run(file: string, args: readonly string[], { cwd }: Options = {}): Promise<string> {
	try {
		const { stdout, stderr } = await execute(file, args, { cwd, maxBuffer: 64 << 20 });
		return stdout + stderr;
	} catch (error) {
		const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string };
		throw new Error(`${file} ${args.join(' ')}\n${stdout}${stderr}`, { cause: error });
	}
}

/** Standard output alone. */
export async function output(file: string, args: readonly string[]): Promise<string> {
	const { stdout } = await execute(file, args, { maxBuffer: 64 << 20 });
	return stdout;
}
