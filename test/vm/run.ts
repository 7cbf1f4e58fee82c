// SPDX-License-Identifier: Apache-2.0
/** Programs that the harness runs. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const execute = promisify(execFile);

/** A package archive may stop to answer; the longest of them, a chroot, takes some minutes. */
const limitMs = 15 * 60_000;

interface Options {
	readonly cwd?: string;
}

/** Standard output and standard error. @throws Error with all that it said. */
export async function run(file: string, args: readonly string[], { cwd }: Options = {}): Promise<string> {
	try {
		const { stdout, stderr } = await execute(file, args, { cwd, maxBuffer: 64 << 20, timeout: limitMs });
		return stdout + stderr;
	} catch (error) {
		const { stdout = '', stderr = '', killed } = error as { stdout?: string; stderr?: string; killed?: boolean };
		const late = killed === true ? `ended after ${limitMs / 1000} s\n` : '';
		throw new Error(`${file} ${args.join(' ')}\n${late}${stdout}${stderr}`, { cause: error });
	}
}

/** Standard output alone. */
export async function output(file: string, args: readonly string[]): Promise<string> {
	const { stdout } = await execute(file, args, { maxBuffer: 64 << 20, timeout: limitMs });
	return stdout;
}
