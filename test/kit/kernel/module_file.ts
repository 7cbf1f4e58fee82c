// SPDX-License-Identifier: Apache-2.0
/** The toa.ko of a guest: TOA_TEST_MODULE is the path of one that was built for its kernel. */
import { existsSync } from 'node:fs';

/** Whether there is a module; some kernels have no headers to build it with. */
export const hasModule = process.env.TOA_TEST_MODULE !== undefined;

/** @throws {Error} if there is none: a guest without the module must not run its tests */
export function moduleFile(): string {
	const file = process.env.TOA_TEST_MODULE;
	if (file === undefined || !existsSync(file)) throw new Error('TOA_TEST_MODULE is not the path of a file');
	return file;
}

/** A toa.ko that was built for another kernel. */
export function foreignModuleFile(): string {
	const file = process.env.TOA_TEST_FOREIGN_MODULE;
	if (file === undefined || !existsSync(file)) throw new Error('TOA_TEST_FOREIGN_MODULE is not the path of a file');
	return file;
}
