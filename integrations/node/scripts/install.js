// SPDX-License-Identifier: Apache-2.0
/**
 * Runs when the package is installed: loads the prebuilt addon, and compiles it with `cc` if there
 * is none that this Node can load. It never fails the installation: without an addon, clientOf()
 * returns undefined, and diagnose() says why.
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { compile } from './compile.js';

const native = join(import.meta.dirname, '../dist/native');
const built = join(native, 'built.node');

/**
 * Loads an addon.
 * @param {string} path its `.node` file
 * @returns {string | undefined} why it cannot be loaded; undefined if it can
 */
function loadError(path) {
	if (!existsSync(path)) return 'there is no such file';
	try {
		process.dlopen({ exports: {} }, path);
		return undefined;
	} catch (error) {
		return error instanceof Error ? error.message : String(error);
	}
}

function install() {
	if (process.platform !== 'linux') return;
	const prebuilt = loadError(join(native, `linux-${process.arch}.node`));
	if (prebuilt === undefined) return;
	try {
		mkdirSync(native, { recursive: true });
		compile(['cc'], built);
	} catch (error) {
		const reason = error instanceof Error && 'stderr' in error && `${error.stderr}`.trim();
		console.warn(
			`@toascope/node: no addon for linux-${process.arch} (${prebuilt}), and cc could not compile it: ${reason || error}`,
		);
		return;
	}
	const compiled = loadError(built);
	if (compiled === undefined) return;
	rmSync(built, { force: true });
	console.warn(`@toascope/node: the addon that cc compiled cannot be loaded: ${compiled}`);
}

install();
