// SPDX-License-Identifier: Apache-2.0
/** How native/client.c is compiled, before it is published and where it is installed. */
import { execFileSync } from 'node:child_process';
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

/** No library, no start files, and no call that the compiler adds: see native/client.c. */
const flags = [
	...['-std=gnu11', '-O2', '-Wall', '-Wextra', '-Werror', '-fPIC', '-shared', '-ffreestanding', '-nostdlib'],
	...['-fno-stack-protector', '-fno-asynchronous-unwind-tables', '-fvisibility=hidden', '-s'],
	...['-Wl,-z,relro,-z,now', '-Wl,-z,max-page-size=65536', '-Wl,--build-id=none'],
];

/**
 * Compiles the addon; `output` is replaced at once, so a process that loads it never finds a part.
 * @param {readonly string[]} compiler the command and its own arguments, such as `['cc']`
 * @param {string} output the path of the `.node` file, in an existing directory
 * @throws {Error} if the compiler is missing or fails; `stderr` is what it printed
 */
export function compile(compiler, output) {
	const [command = 'cc', ...options] = compiler;
	const include = join(root, 'dist/native/include');
	const unfinished = `${output}.${process.pid}`;
	try {
		execFileSync(command, [...options, ...flags, '-I', include, join(root, 'native/client.c'), '-o', unfinished], {
			stdio: ['ignore', 'ignore', 'pipe'],
		});
		renameSync(unfinished, output);
	} finally {
		rmSync(unfinished, { force: true });
	}
}
