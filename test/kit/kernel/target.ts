// SPDX-License-Identifier: Apache-2.0
/**
 * The machine that the C programs of the tests are compiled for: this one, or a guest of another
 * architecture.
 */
import { join } from 'node:path';

export interface Target {
	/** The C compiler, with the options that every compilation has. */
	readonly compiler: readonly [string, ...string[]];
	/** Additional environment variables for pkg-config, with which it finds the libraries. */
	readonly environment: NodeJS.ProcessEnv;
	/**
	 * The directory that serves as build/: programs are written to it, and it contains the lab's
	 * library.
	 */
	readonly build: string;
	/** Whether the machine runs 32-bit programs for x86. */
	readonly supports32Bit: boolean;
}

export const thisMachine: Target = {
	compiler: ['cc'],
	environment: {},
	build: join(import.meta.dirname, '../../../build'),
	supports32Bit: process.arch === 'x64',
};
