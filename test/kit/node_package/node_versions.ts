// SPDX-License-Identifier: Apache-2.0
/** The versions of Node that @toascope/node is tested with. */
import { join } from 'node:path';
import { installed } from './scratch.ts';

export interface NodeVersion {
	/** The path of its program; undefined where it cannot be installed. */
	program(): Promise<string | undefined>;
	toString(): string;
}

function packaged(version: string): NodeVersion {
	const name = `node-linux-${process.arch}`;
	return {
		async program() {
			const directory = await installed({ [name]: version });
			return directory === undefined ? undefined : join(directory, 'node_modules', name, 'bin/node');
		},
		toString: () => version,
	};
}

/** The oldest of each line that the package's `engines` name, and the one that runs this. */
export const nodeVersions: readonly NodeVersion[] = [
	packaged('20.19.0'),
	packaged('22.12.0'),
	{ program: async () => process.execPath, toString: () => process.versions.node },
];
