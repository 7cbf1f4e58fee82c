// SPDX-License-Identifier: Apache-2.0
/** Directories below build/ with npm packages that only tests of @toascope/node require. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, globSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { packageDirectory } from './built.ts';

const execute = promisify(execFile);
const scratch = join(import.meta.dirname, '../../../build/node-package');

/** What npm says where it cannot reach the registry. */
const unreachable = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|ERR_SOCKET_TIMEOUT|E50\d/;

/**
 * Installs packages into a directory of their own, once, with their exact versions. Resolves to the
 * directory, or to undefined where the registry cannot be reached: the tests that require it are
 * then skipped, and the reason is printed.
 */
export async function installed(dependencies: Readonly<Record<string, string>>): Promise<string | undefined> {
	const manifest = JSON.stringify({ private: true, type: 'module', dependencies });
	const directory = join(scratch, createHash('sha256').update(manifest).digest('hex').slice(0, 12));
	if (existsSync(directory)) return directory;
	mkdirSync(scratch, { recursive: true });
	const unfinished = mkdtempSync(join(scratch, 'unfinished-'));
	try {
		writeFileSync(join(unfinished, 'package.json'), manifest);
		const options = ['--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error', '--fetch-retries=1'];
		await execute('npm', ['install', ...options], { cwd: unfinished, maxBuffer: 16 << 20 });
		if (!existsSync(directory)) renameSync(unfinished, directory);
		return directory;
	} catch (error) {
		const { stderr = '' } = error as { stderr?: string };
		if (!unreachable.test(stderr)) throw error;
		console.log(
			`!! npm cannot reach the registry, and the tests that require it are skipped: ${stderr.split('\n')[0]}`,
		);
		return undefined;
	} finally {
		rmSync(unfinished, { recursive: true, force: true });
	}
}

/** Creates the package in a directory, as `npm publish` would. Resolves to the path of the archive. */
export async function pack(directory: string): Promise<string> {
	const options = ['pack', '--silent', '--pack-destination', directory];
	const { stdout } = await execute('npm', options, { cwd: packageDirectory });
	return join(directory, stdout.trim().split('\n').at(-1) ?? '');
}

/**
 * Makes a directory in which the packages of a scratch directory are installed, as links, and
 * beside them the package itself, unpacked as npm would.
 */
export async function withPackage(source: string, directory: string): Promise<void> {
	for (const path of globSync(['node_modules/[!.@]*', 'node_modules/@*/*'], { cwd: source })) {
		mkdirSync(dirname(join(directory, path)), { recursive: true });
		symlinkSync(join(source, path), join(directory, path));
	}
	const archive = await pack(directory);
	const target = join(directory, 'node_modules/@toascope/node');
	mkdirSync(target, { recursive: true });
	await execute('tar', ['-xf', archive, '-C', target, '--strip-components=1']);
}
