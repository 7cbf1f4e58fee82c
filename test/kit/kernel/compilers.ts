// SPDX-License-Identifier: Apache-2.0
/** The clang versions on this machine, and toascope built with each of them. */
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { buildVariant } from './variant_tree.ts';

/** The versions that Debian, Ubuntu and the packages of LLVM provide, which users build with. */
const versions = [14, 15, 16, 17, 18, 19, 20, 21, 22] as const;

export interface Compiler {
	/** Such as `clang-19`. */
	readonly name: string;
	readonly path: string;
}

/** The compilers on PATH. */
export function compilers(): Compiler[] {
	const directories = (process.env.PATH ?? '').split(delimiter);
	return versions.flatMap((version) => {
		const name = `clang-${version}`;
		const path = directories.map((directory) => join(directory, name)).find((file) => existsSync(file));
		return path === undefined ? [] : [{ name, path }];
	});
}

/**
 * Builds toascope with this compiler, unless that has been done. Returns the path of its program.
 */
export function buildWith({ name, path }: Compiler): string {
	return buildVariant({ name, differs: path, cmake: { CLANG: path } });
}
